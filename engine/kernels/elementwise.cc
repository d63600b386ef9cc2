#include "engine/kernels/elementwise.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/elementwise.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "engine/kernels/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F = hn::ScalableTag<float>;
using V = hn::Vec<F>;

V SigmoidOf(F f, V x) {
  const V one = hn::Set(f, 1.0f);
  // Highway's exp is good up to 104, where it is infinite already.
  const V exponent = hn::Min(hn::Neg(x), hn::Set(f, 104.0f));
  return KeepNan(f, x, hn::Div(one, hn::Add(one, hn::Exp(f, exponent))));
}

// tanh of sqrt(2/π) (x + 0.044715 x³): Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.
V GeluTanhInner(F f, V x) {
  const V cube = hn::Mul(hn::Mul(x, x), x);
  const V u = hn::MulAdd(hn::Set(f, 0.044715f), cube, x);
  return KeepNan(f, x, hn::Tanh(f, hn::Mul(hn::Set(f, 0.7978845608028654f), u)));
}

template <ActivationKind kKind>
V Forward(F f, V x, V slope) {
  const V zero = hn::Zero(f), half = hn::Set(f, 0.5f), one = hn::Set(f, 1.0f);
  switch (kKind) {
    case ActivationKind::kRelu:
      return hn::Max(x, zero);
    case ActivationKind::kLeakyRelu:
      return hn::IfThenElse(hn::Gt(x, zero), x, hn::Mul(x, slope));
    case ActivationKind::kTanh:
      return KeepNan(f, x, hn::Tanh(f, x));
    case ActivationKind::kSigmoid:
      return SigmoidOf(f, x);
    case ActivationKind::kSilu:
      return hn::Mul(x, SigmoidOf(f, x));
    case ActivationKind::kGeluTanh:
      return hn::Mul(hn::Mul(half, x), hn::Add(one, GeluTanhInner(f, x)));
    case ActivationKind::kGelu:
      return x;  // has a loop of its own
  }
}

// The derivative from the output (ReLU, leaky ReLU, tanh, sigmoid) or the input.
template <ActivationKind kKind>
V Derivative(F f, V from, V slope) {
  const V zero = hn::Zero(f), half = hn::Set(f, 0.5f), one = hn::Set(f, 1.0f);
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
      const V t = GeluTanhInner(f, from);
      const V slope_of_inner =
          hn::Mul(hn::Set(f, 0.7978845608028654f),
                  hn::MulAdd(hn::Set(f, 3 * 0.044715f), hn::Mul(from, from), one));
      const V rest =
          hn::Mul(hn::Mul(half, from), hn::Mul(hn::NegMulAdd(t, t, one), slope_of_inner));
      return hn::MulAdd(half, hn::Add(one, t), rest);
    }
    case ActivationKind::kGelu:
      return from;
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

template <typename T>
float Wide(T value) {
  if constexpr (sizeof(T) == 2) {
    return FromBf16(value);
  } else {
    return value;
  }
}
template <typename T>
T Narrow(float value) {
  if constexpr (sizeof(T) == 2) {
    return ToBf16(value);
  } else {
    return value;
  }
}

template <typename T>
void ActivateOf(ActivationKind kind, float slope, const T* x, T* y, int64_t n) {
  using K = ActivationKind;
  switch (kind) {
    case K::kRelu:
      return ActivateLoop<T, K::kRelu>(slope, x, y, n);
    case K::kLeakyRelu:
      return ActivateLoop<T, K::kLeakyRelu>(slope, x, y, n);
    case K::kTanh:
      return ActivateLoop<T, K::kTanh>(slope, x, y, n);
    case K::kSigmoid:
      return ActivateLoop<T, K::kSigmoid>(slope, x, y, n);
    case K::kSilu:
      return ActivateLoop<T, K::kSilu>(slope, x, y, n);
    case K::kGeluTanh:
      return ActivateLoop<T, K::kGeluTanh>(slope, x, y, n);
    case K::kGelu:
      for (int64_t i = 0; i < n; ++i) {
        const float v = Wide(x[i]);
        y[i] = Narrow<T>(0.5f * v * (1.0f + std::erf(v * 0.70710678f)));
      }
  }
}

template <typename T>
void GradientOf(ActivationKind kind, float slope, const T* dy, const T* from, T* dx, int64_t n) {
  using K = ActivationKind;
  switch (kind) {
    case K::kRelu:
      if constexpr (sizeof(T) == 2) {
        return ReluGradientBf16(dy, from, dx, n);
      }
      return GradientLoop<T, K::kRelu>(slope, dy, from, dx, n);
    case K::kLeakyRelu:
      return GradientLoop<T, K::kLeakyRelu>(slope, dy, from, dx, n);
    case K::kTanh:
      return GradientLoop<T, K::kTanh>(slope, dy, from, dx, n);
    case K::kSigmoid:
      return GradientLoop<T, K::kSigmoid>(slope, dy, from, dx, n);
    case K::kSilu:
      return GradientLoop<T, K::kSilu>(slope, dy, from, dx, n);
    case K::kGeluTanh:
      return GradientLoop<T, K::kGeluTanh>(slope, dy, from, dx, n);
    case K::kGelu:
      for (int64_t i = 0; i < n; ++i) {
        const float v = Wide(from[i]);
        const float cdf = 0.5f * (1.0f + std::erf(v * 0.70710678f));
        const float density = 0.39894228f * std::exp(-0.5f * v * v);
        dx[i] = Narrow<T>(Wide(dy[i]) * (cdf + v * density));
      }
  }
}

void ActivateT(ActivationKind kind, float slope, DType dtype, const void* x, void* y, int64_t n) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    ActivateOf(kind, slope, static_cast<const T*>(x), static_cast<T*>(y), n);
  });
}

void GradientT(ActivationKind kind, float slope, DType dtype, const void* dy, const void* from,
               void* dx, int64_t n) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    GradientOf(kind, slope, static_cast<const T*>(dy), static_cast<const T*>(from),
               static_cast<T*>(dx), n);
  });
}

void AddT(DType dtype, const void* a, const void* b, void* y, int64_t n) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    Map2(n, static_cast<const T*>(a), static_cast<const T*>(b), static_cast<T*>(y),
         [](V u, V v) { return hn::Add(u, v); });
  });
}

void MultiplyT(DType dtype, const void* a, const void* b, void* y, int64_t n) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    Map2(n, static_cast<const T*>(a), static_cast<const T*>(b), static_cast<T*>(y),
         [](V u, V v) { return hn::Mul(u, v); });
  });
}

void ShiftT(DType dtype, float shift, const void* x, void* y, int64_t n) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    const V s = hn::Set(F(), shift);
    Map(n, static_cast<const T*>(x), static_cast<T*>(y), [&](V v) { return hn::Add(v, s); });
  });
}

void ScaleT(DType dtype, float factor, const void* x, void* y, int64_t n) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    const V s = hn::Set(F(), factor);
    Map(n, static_cast<const T*>(x), static_cast<T*>(y), [&](V v) { return hn::Mul(v, s); });
  });
}

void NormalizeT(const uint8_t* x, float mean, float factor, DType dtype, void* y, int64_t n) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    const F f;
    const hn::Rebind<uint8_t, F> bytes;
    const hn::Rebind<int32_t, F> ints;
    const int64_t lanes = static_cast<int64_t>(hn::Lanes(f));
    T* out = static_cast<T*>(y);
    const V m = hn::Set(f, mean), s = hn::Set(f, factor);
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
      const V v = hn::ConvertTo(f, hn::PromoteTo(ints, hn::LoadU(bytes, x + i)));
      StoreVector(f, hn::Mul(hn::Sub(v, m), s), out + i);
    }
    for (; i < n; ++i) {
      out[i] = Narrow<T>((static_cast<float>(x[i]) - mean) * factor);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(ActivateT);
HWY_EXPORT(GradientT);
HWY_EXPORT(AddT);
HWY_EXPORT(MultiplyT);
HWY_EXPORT(ShiftT);
HWY_EXPORT(ScaleT);
HWY_EXPORT(NormalizeT);

absl::string_view NameOf(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::kRelu:
      return "relu";
    case ActivationKind::kLeakyRelu:
      return "leaky_relu";
    case ActivationKind::kGelu:
      return "gelu";
    case ActivationKind::kGeluTanh:
      return "gelu_tanh";
    case ActivationKind::kTanh:
      return "tanh";
    case ActivationKind::kSigmoid:
      return "sigmoid";
    case ActivationKind::kSilu:
      return "silu";
  }
  return "?";
}

bool GradientUsesOutput(ActivationKind kind) {
  return kind == ActivationKind::kRelu || kind == ActivationKind::kLeakyRelu ||
         kind == ActivationKind::kTanh || kind == ActivationKind::kSigmoid;
}

double ActivationValue(ActivationKind kind, double slope, double x) {
  switch (kind) {
    case ActivationKind::kRelu:
      return x > 0 ? x : 0;
    case ActivationKind::kLeakyRelu:
      return x > 0 ? x : slope * x;
    case ActivationKind::kGelu:
      return 0.5 * x * (1 + std::erf(x * M_SQRT1_2));
    case ActivationKind::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case ActivationKind::kTanh:
      return std::tanh(x);
    case ActivationKind::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case ActivationKind::kSilu:
      return x / (1 + std::exp(-x));
  }
  return 0;
}

double ActivationDerivative(ActivationKind kind, double slope, double x) {
  switch (kind) {
    case ActivationKind::kRelu:
      return x > 0 ? 1 : 0;
    case ActivationKind::kLeakyRelu:
      return x > 0 ? 1 : slope;
    case ActivationKind::kGelu:
      return 0.5 * (1 + std::erf(x * M_SQRT1_2)) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
    case ActivationKind::kGeluTanh: {
      const double t = std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
      return 0.5 * (1 + t) +
             0.5 * x * (1 - t * t) * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
    }
    case ActivationKind::kTanh:
      return 1 - std::tanh(x) * std::tanh(x);
    case ActivationKind::kSigmoid: {
      const double s = 1 / (1 + std::exp(-x));
      return s * (1 - s);
    }
    case ActivationKind::kSilu: {
      const double s = 1 / (1 + std::exp(-x));
      return s * (1 + x * (1 - s));
    }
  }
  return 0;
}

void Activate(ActivationKind kind, float slope, DType dtype, const void* x, void* y, int64_t n) {
  HWY_DYNAMIC_DISPATCH(ActivateT)(kind, slope, dtype, x, y, n);
}
void ActivateGradient(ActivationKind kind, float slope, DType dtype, const void* dy,
                      const void* from, void* dx, int64_t n) {
  HWY_DYNAMIC_DISPATCH(GradientT)(kind, slope, dtype, dy, from, dx, n);
}
void AddArrays(DType dtype, const void* a, const void* b, void* y, int64_t n) {
  HWY_DYNAMIC_DISPATCH(AddT)(dtype, a, b, y, n);
}
void MultiplyArrays(DType dtype, const void* a, const void* b, void* y, int64_t n) {
  HWY_DYNAMIC_DISPATCH(MultiplyT)(dtype, a, b, y, n);
}
void ShiftArray(DType dtype, float shift, const void* x, void* y, int64_t n) {
  HWY_DYNAMIC_DISPATCH(ShiftT)(dtype, shift, x, y, n);
}
void ScaleArray(DType dtype, float factor, const void* x, void* y, int64_t n) {
  HWY_DYNAMIC_DISPATCH(ScaleT)(dtype, factor, x, y, n);
}
void NormalizeBytes(const uint8_t* x, float mean, float factor, DType dtype, void* y, int64_t n) {
  HWY_DYNAMIC_DISPATCH(NormalizeT)(x, mean, factor, dtype, y, n);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
