// Functions of a vector of floats, NaN kept; compiled once for each instruction set (Highway's
// per-target include guard).

#if defined(HONE_KERNELS_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_KERNELS_MATH_INL_H_
#undef HONE_KERNELS_MATH_INL_H_
#else
#define HONE_KERNELS_MATH_INL_H_
#endif

#include <type_traits>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Highway's exp and tanh of NaN are numbers; a NaN must stay one, so that a loss says that
// something is wrong.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V KeepNan(D, V x, V y) {
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

#if HWY_TARGET <= HWY_AVX3
// exp(x) within 2e-7 relatively, in half of Highway's instructions: 2^n · exp(r), where x = n ln 2
// + r and n is whole; (exp(r) − 1) / r is a polynomial that interpolates it at six Chebyshev points
// of [−ln 2 / 2, ln 2 / 2]. ln 2 is the sum of two numbers of which the first has few bits. Of two
// operands AVX-512's minimum and maximum take the second where one is a NaN, and 2^n of a NaN is
// one.
HWY_INLINE hn::Vec<hn::ScalableTag<float>> WholeExp(hn::Vec<hn::ScalableTag<float>> x) {
  const hn::ScalableTag<float> f;
  constexpr int kNearest = 0;
  x = hn::Min(hn::Set(f, 104.0f), hn::Max(hn::Set(f, -104.0f), x));
  const hn::Vec<hn::ScalableTag<float>> n{
      _mm512_roundscale_ps(hn::Mul(x, hn::Set(f, 1.44269504f)).raw, kNearest)};
  auto r = hn::NegMulAdd(n, hn::Set(f, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(f, -2.12194440e-4f), r);
  auto power = hn::Set(f, 0.00139336498f);
  power = hn::MulAdd(power, r, hn::Set(f, 0.00836915523f));
  power = hn::MulAdd(power, r, hn::Set(f, 0.0416664667f));
  power = hn::MulAdd(power, r, hn::Set(f, 0.166665047f));
  power = hn::MulAdd(power, r, hn::Set(f, 0.5f));
  power = hn::MulAdd(power, r, hn::Set(f, 1.0f));
  power = hn::MulAdd(power, r, hn::Set(f, 1.0f));
  return hn::Vec<hn::ScalableTag<float>>{_mm512_scalef_ps(power.raw, n.raw)};
}
#endif

// exp(x): 0 below −104, infinite above 104.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ExpOf(D d, V x) {
#if HWY_TARGET <= HWY_AVX3
  if constexpr (std::is_same_v<D, hn::ScalableTag<float>>) {
    return WholeExp(x);
  }
#endif
  return KeepNan(d, x, hn::Exp(d, x));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V TanhOf(D d, V x) {
  return KeepNan(d, x, hn::Tanh(d, x));
}

// 1 / (1 + exp(−x))
template <class D, class V = hn::Vec<D>>
HWY_INLINE V SigmoidOf(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  // Highway's exp is good up to 104, where it is infinite already.
  const V exponent = hn::Min(hn::Neg(x), hn::Set(d, 104.0f));
  return KeepNan(d, x, hn::Div(one, hn::Add(one, ExpOf(d, exponent))));
}

// max(x, 0). The larger of NaN and 0 is 0 on x86, so the comparison is written out.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ReluOf(D, V x) {
  return hn::IfThenZeroElse(hn::Le(x, hn::Zero(D())), x);
}

// The standard normal distribution's Φ(x) = (1 + erf(x / √2)) / 2, within 1e-7 absolutely and 1e-5
// relatively, and bell = exp(−x² / 2). Φ(−a) is bell / 2 times R(a / √2), R(b) = exp(b²) erfc(b);
// R is 1 − u P(u) in u = 0.4 b / (1 + 0.4 b), and P interpolates it at ten points of [0, 9.5] that
// are Chebyshev's in u.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V NormalCdfOf(D d, V x, V& bell) {
  const V one = hn::Set(d, 1.0f);
  const V b = hn::Mul(hn::Abs(x), hn::Set(d, 0.28284271f));
  const V u = hn::Div(b, hn::Add(one, b));
  V p = hn::Set(d, 0.0398738459f);
  p = hn::MulAdd(p, u, hn::Set(d, -0.141762391f));
  p = hn::MulAdd(p, u, hn::Set(d, 0.128483489f));
  p = hn::MulAdd(p, u, hn::Set(d, 0.0524296798f));
  p = hn::MulAdd(p, u, hn::Set(d, 0.051647272f));
  p = hn::MulAdd(p, u, hn::Set(d, -0.399442226f));
  p = hn::MulAdd(p, u, hn::Set(d, -0.197985724f));
  p = hn::MulAdd(p, u, hn::Set(d, 2.07486939f));
  p = hn::MulAdd(p, u, hn::Set(d, -3.4290514f));
  p = hn::MulAdd(p, u, hn::Set(d, 2.82094789f));
  const V half = hn::Set(d, 0.5f);
  // Highway's exp is good down to −104, where it is 0 already.
  const V exponent = hn::Max(hn::Mul(hn::Neg(half), hn::Mul(x, x)), hn::Set(d, -104.0f));
  bell = ExpOf(d, exponent);
  const V tail = hn::Mul(hn::Mul(half, bell), hn::NegMulAdd(u, p, one));
  return KeepNan(d, x, hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(one, tail)));
}

}  // namespace hone::engine::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HONE_KERNELS_MATH_INL_H_
