#include "engine/kernels/rms_norm.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/rms_norm.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/kernels/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F = hn::ScalableTag<float>;
using V = hn::Vec<F>;

HWY_INLINE float SumOf(V v) { return hn::GetLane(hn::SumOfLanes(F(), v)); }

template <typename T>
void RmsNormRows(const T* x, const float* scale, int64_t n, float epsilon, T* y, float* rstd,
                 int64_t begin, int64_t end) {
  const F f;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f));
  x += begin * n;
  y += begin * n;
  for (int64_t r = begin; r < end; ++r, x += n, y += n) {
    V squares = hn::Zero(f);
    for (int64_t i = 0; i < n; i += lanes) {
      const V v = LoadSome(x + i, n - i, lanes);
      squares = hn::MulAdd(v, v, squares);
    }
    rstd[r] = 1 / std::sqrt(SumOf(squares) / static_cast<float>(n) + epsilon);
    const V s = hn::Set(f, rstd[r]);
    for (int64_t i = 0; i < n; i += lanes) {
      const V normal = hn::Mul(LoadSome(x + i, n - i, lanes), s);
      StoreSome(hn::Mul(normal, LoadSome(scale + i, n - i, lanes)), y + i, n - i, lanes);
    }
  }
}

template <typename T>
void RmsNormGradientRows(const RmsNormGradientArrays& a, int64_t n, int64_t begin, int64_t end) {
  const F f;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f));
  const T* x = static_cast<const T*>(a.x) + begin * n;
  const T* dy = static_cast<const T*>(a.dy) + begin * n;
  T* dx = static_cast<T*>(a.dx) + begin * n;
  for (int64_t r = begin; r < end; ++r, x += n, dy += n, dx += n) {
    const V s = hn::Set(f, a.rstd[r]);
    V product = hn::Zero(f);
    for (int64_t i = 0; i < n; i += lanes) {
      const int64_t left = n - i;
      const V d = LoadSome(dy + i, left, lanes);
      const V normal = hn::Mul(LoadSome(x + i, left, lanes), s);
      product = hn::MulAdd(hn::Mul(d, LoadSome(a.scale + i, left, lanes)), normal, product);
      StoreSome(hn::MulAdd(d, normal, LoadSome(a.dscale + i, left, lanes)), a.dscale + i, left,
                lanes);
    }
    const V mean = hn::Set(f, SumOf(product) / static_cast<float>(n));
    for (int64_t i = 0; i < n; i += lanes) {
      const int64_t left = n - i;
      const V normal = hn::Mul(LoadSome(x + i, left, lanes), s);
      const V g = hn::Mul(LoadSome(dy + i, left, lanes), LoadSome(a.scale + i, left, lanes));
      StoreSome(hn::Mul(s, hn::NegMulAdd(normal, mean, g)), dx + i, left, lanes);
    }
  }
}

void RmsNormT(DType dtype, const void* x, const float* scale, int64_t n, float epsilon, void* y,
              float* rstd, int64_t begin, int64_t end) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    RmsNormRows(static_cast<const T*>(x), scale, n, epsilon, static_cast<T*>(y), rstd, begin, end);
  });
}

void RmsNormGradientT(DType dtype, const RmsNormGradientArrays& arrays, int64_t n, int64_t begin,
                      int64_t end) {
  Dispatch(dtype, [&](auto tag) { RmsNormGradientRows<decltype(tag)>(arrays, n, begin, end); });
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(RmsNormT);
HWY_EXPORT(RmsNormGradientT);

void RmsNorm(DType dtype, const void* x, const float* scale, int64_t n, float epsilon, void* y,
             float* rstd, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(RmsNormT)(dtype, x, scale, n, epsilon, y, rstd, begin, end);
}

void RmsNormGradient(DType dtype, const RmsNormGradientArrays& arrays, int64_t n, int64_t begin,
                     int64_t end) {
  HWY_DYNAMIC_DISPATCH(RmsNormGradientT)(dtype, arrays, n, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
