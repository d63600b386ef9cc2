#include "engine/kernels/activation.h"

#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/activation.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/kernels/math-inl.h"
#include "engine/kernels/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F = hn::ScalableTag<float>;
using V = hn::Vec<F>;

// (1 + tanh u) / 2 of u = sqrt(2/π) (x + 0.044715 x³), which is the sigmoid of 2 u: Hendrycks and
// Gimpel, "Gaussian Error Linear Units", 2016.
constexpr float kTwiceSqrt = 1.5957691216057308f;  // 2 sqrt(2/π)
V GeluTanhGate(F f, V x) {
  const V cube = hn::Mul(hn::Mul(x, x), x);
  return SigmoidOf(f, hn::Mul(hn::Set(f, kTwiceSqrt), hn::MulAdd(hn::Set(f, 0.044715f), cube, x)));
}

template <ActivationKind kKind>
V Forward(F f, V x, V slope) {
  const V zero = hn::Zero(f);
  switch (kKind) {
    case ActivationKind::kRelu:
      return ReluOf(f, x);
    case ActivationKind::kLeakyRelu:
      return hn::IfThenElse(hn::Gt(x, zero), x, hn::Mul(x, slope));
    case ActivationKind::kTanh:
      return TanhOf(f, x);
    case ActivationKind::kSigmoid:
      return SigmoidOf(f, x);
    case ActivationKind::kSilu:
      return hn::Mul(x, SigmoidOf(f, x));
    case ActivationKind::kGeluTanh:
      return hn::Mul(x, GeluTanhGate(f, x));
    case ActivationKind::kGelu: {
      V bell;
      return hn::Mul(x, NormalCdfOf(f, x, bell));
    }
    default:
      return x;
  }
}

// The derivative from the output (ReLU, leaky ReLU, tanh, sigmoid) or the input.
template <ActivationKind kKind>
V Derivative(F f, V from, V slope) {
  const V zero = hn::Zero(f), one = hn::Set(f, 1.0f);
  switch (kKind) {
    case ActivationKind::kRelu:
      return hn::IfThenElseZero(hn::Gt(from, zero), one);
    case ActivationKind::kLeakyRelu:
      return hn::IfThenElse(hn::Gt(from, zero), one, slope);
    case ActivationKind::kTanh:
      return hn::NegMulAdd(from, from, one);
    case ActivationKind::kSigmoid:
      return hn::Mul(from, hn::Sub(one, from));
    case ActivationKind::kSilu: {
      const V s = SigmoidOf(f, from);
      return hn::Mul(s, hn::MulAdd(from, hn::Sub(one, s), one));
    }
    case ActivationKind::kGeluTanh: {
      const V gate = GeluTanhGate(f, from);
      const V slope_of_inner = hn::Mul(
          hn::Set(f, kTwiceSqrt), hn::MulAdd(hn::Set(f, 3 * 0.044715f), hn::Mul(from, from), one));
      const V rest = hn::Mul(hn::Mul(from, hn::Mul(gate, hn::Sub(one, gate))), slope_of_inner);
      return hn::Add(gate, rest);
    }
    case ActivationKind::kGelu: {
      // Φ(x) + x φ(x), φ being the bell over sqrt(2π).
      V bell;
      const V cdf = NormalCdfOf(f, from, bell);
      return hn::MulAdd(hn::Mul(from, hn::Set(f, 0.3989422804014327f)), bell, cdf);
    }
    default:
      return one;
  }
}

template <typename T, ActivationKind kKind>
void ActivateLoop(float slope, const T* x, T* y, int64_t n) {
  const F f;
  const V s = hn::Set(f, slope);
  Map(n, x, y, [&](V v) { return Forward<kKind>(f, v, s); });
}

// dx = dy where from > 0, else 0, on bits: a bfloat16 is positive where its bits are, as a signed
// integer.
void ReluGradientBf16(const uint16_t* dy, const uint16_t* from, uint16_t* dx, int64_t n) {
  const hn::ScalableTag<int16_t> d;
  const hn::RebindToUnsigned<decltype(d)> bits;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto zero = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto v = hn::BitCast(d, hn::LoadU(bits, from + i));
    const auto g = hn::BitCast(d, hn::LoadU(bits, dy + i));
    hn::StoreU(hn::BitCast(bits, hn::IfThenElseZero(hn::Gt(v, zero), g)), bits, dx + i);
  }
  for (; i < n; ++i) {
    dx[i] = static_cast<int16_t>(from[i]) > 0 ? dy[i] : uint16_t{0};
  }
}

template <typename T, ActivationKind kKind>
void GradientLoop(float slope, const T* dy, const T* from, T* dx, int64_t n) {
  const F f;
  const V s = hn::Set(f, slope);
  Map2(n, dy, from, dx, [&](V d, V v) { return hn::Mul(d, Derivative<kKind>(f, v, s)); });
}

// function(kind as a constant), so that each kind has a loop of its own.
template <typename Function>
void ForKind(ActivationKind kind, Function&& function) {
  using K = ActivationKind;
  switch (kind) {
    case K::kRelu:
      return function(std::integral_constant<K, K::kRelu>());
    case K::kLeakyRelu:
      return function(std::integral_constant<K, K::kLeakyRelu>());
    case K::kGelu:
      return function(std::integral_constant<K, K::kGelu>());
    case K::kGeluTanh:
      return function(std::integral_constant<K, K::kGeluTanh>());
    case K::kTanh:
      return function(std::integral_constant<K, K::kTanh>());
    case K::kSigmoid:
      return function(std::integral_constant<K, K::kSigmoid>());
    case K::kSilu:
      return function(std::integral_constant<K, K::kSilu>());
    case K::kNone:
    case K::kSoftmax:
      return function(std::integral_constant<K, K::kNone>());
  }
}

void ActivateT(ActivationKind kind, float slope, DType dtype, const void* x, void* y, int64_t begin,
               int64_t end) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    ForKind(kind, [&](auto constant) {
      ActivateLoop<T, constant()>(slope, static_cast<const T*>(x) + begin,
                                  static_cast<T*>(y) + begin, end - begin);
    });
  });
}

void GradientT(ActivationKind kind, float slope, DType dtype, const void* dy, const void* from,
               void* dx, int64_t begin, int64_t end) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* d = static_cast<const T*>(dy) + begin;
    const T* v = static_cast<const T*>(from) + begin;
    T* to = static_cast<T*>(dx) + begin;
    if constexpr (sizeof(T) == 2) {
      if (kind == ActivationKind::kRelu) {
        return ReluGradientBf16(d, v, to, end - begin);
      }
    }
    ForKind(kind,
            [&](auto constant) { GradientLoop<T, constant()>(slope, d, v, to, end - begin); });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(ActivateT);
HWY_EXPORT(GradientT);

void Activate(ActivationKind kind, float slope, DType dtype, const void* x, void* y, int64_t begin,
              int64_t end) {
  HWY_DYNAMIC_DISPATCH(ActivateT)(kind, slope, dtype, x, y, begin, end);
}
void ActivateGradient(ActivationKind kind, float slope, DType dtype, const void* dy,
                      const void* from, void* dx, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(GradientT)(kind, slope, dtype, dy, from, dx, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
