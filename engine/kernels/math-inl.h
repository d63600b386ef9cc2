// Functions of a vector of floats, NaN kept; compiled once for each instruction set (Highway's
// per-target include guard).

#if defined(HONE_KERNELS_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_KERNELS_MATH_INL_H_
#undef HONE_KERNELS_MATH_INL_H_
#else
#define HONE_KERNELS_MATH_INL_H_
#endif

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

template <class D, class V = hn::Vec<D>>
HWY_INLINE V ExpOf(D d, V x) {
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
  return KeepNan(d, x, hn::Div(one, hn::Add(one, hn::Exp(d, exponent))));
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
  bell = hn::Exp(d, exponent);
  const V tail = hn::Mul(hn::Mul(half, bell), hn::NegMulAdd(u, p, one));
  return KeepNan(d, x, hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(one, tail)));
}

}  // namespace hone::engine::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HONE_KERNELS_MATH_INL_H_
