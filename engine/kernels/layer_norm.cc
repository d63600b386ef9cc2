#include "engine/kernels/layer_norm.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/layer_norm.cc"
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
void LayerNormRows(const T* x, const float* scale, const float* shift, int64_t n, float epsilon,
                   T* y, float* mean, float* rstd, int64_t begin, int64_t end) {
  const F f;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(f));
  const float share = 1 / static_cast<float>(n);
  x += begin * n;
  y += begin * n;
  for (int64_t r = begin; r < end; ++r, x += n, y += n) {
    V sum = hn::Zero(f);
    for (int64_t i = 0; i < n; i += lanes) {
      sum = hn::Add(sum, LoadSome(x + i, n - i, lanes));
    }
    mean[r] = SumOf(sum) * share;
    const V m = hn::Set(f, mean[r]);
    V squares = hn::Zero(f);
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
      const V d = hn::Sub(LoadVector(f, x + i), m);
      squares = hn::MulAdd(d, d, squares);
    }
    if (i < n) {
      const V d = hn::IfThenElseZero(hn::FirstN(f, static_cast<size_t>(n - i)),
                                     hn::Sub(LoadSome(x + i, n - i, lanes), m));
      squares = hn::MulAdd(d, d, squares);
    }
    rstd[r] = 1 / std::sqrt(SumOf(squares) * share + epsilon);
    const V s = hn::Set(f, rstd[r]);
    for (i = 0; i < n; i += lanes) {
      const V normal = hn::Mul(hn::Sub(LoadSome(x + i, n - i, lanes), m), s);
      StoreSome(
          hn::MulAdd(normal, LoadSome(scale + i, n - i, lanes), LoadSome(shift + i, n - i, lanes)),
          y + i, n - i, lanes);
    }
  }
}

template <typename T>
void LayerNormGradientRows(const LayerNormGradientArrays& a, int64_t n, int64_t begin,
                           int64_t end) {
  const F f;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(f));
  const float share = 1 / static_cast<float>(n);
  const T* x = static_cast<const T*>(a.x) + begin * n;
  const T* dy = static_cast<const T*>(a.dy) + begin * n;
  T* dx = static_cast<T*>(a.dx) + begin * n;
  for (int64_t r = begin; r < end; ++r, x += n, dy += n, dx += n) {
    const V m = hn::Set(f, a.mean[r]), s = hn::Set(f, a.rstd[r]);
    V sum = hn::Zero(f), product = hn::Zero(f);
    // Behind the row's end dy is 0, so nothing is added there.
    for (int64_t i = 0; i < n; i += lanes) {
      const int64_t left = n - i;
      const V d = LoadSome(dy + i, left, lanes);
      const V normal = hn::Mul(hn::Sub(LoadSome(x + i, left, lanes), m), s);
      const V g = hn::Mul(d, LoadSome(a.scale + i, left, lanes));
      sum = hn::Add(sum, g);
      product = hn::MulAdd(g, normal, product);
      StoreSome(hn::MulAdd(d, normal, LoadSome(a.dscale + i, left, lanes)), a.dscale + i, left,
                lanes);
      StoreSome(hn::Add(d, LoadSome(a.dshift + i, left, lanes)), a.dshift + i, left, lanes);
    }
    const V mean_g = hn::Set(f, SumOf(sum) * share), mean_gx = hn::Set(f, SumOf(product) * share);
    for (int64_t i = 0; i < n; i += lanes) {
      const int64_t left = n - i;
      const V normal = hn::Mul(hn::Sub(LoadSome(x + i, left, lanes), m), s);
      const V g = hn::Mul(LoadSome(dy + i, left, lanes), LoadSome(a.scale + i, left, lanes));
      StoreSome(hn::Mul(s, hn::Sub(hn::Sub(g, mean_g), hn::Mul(normal, mean_gx))), dx + i, left,
                lanes);
    }
  }
}

void LayerNormT(DType dtype, const void* x, const float* scale, const float* shift, int64_t n,
                float epsilon, void* y, float* mean, float* rstd, int64_t begin, int64_t end) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    LayerNormRows(static_cast<const T*>(x), scale, shift, n, epsilon, static_cast<T*>(y), mean,
                  rstd, begin, end);
  });
}

void LayerNormGradientT(DType dtype, const LayerNormGradientArrays& arrays, int64_t n,
                        int64_t begin, int64_t end) {
  Dispatch(dtype, [&](auto tag) { LayerNormGradientRows<decltype(tag)>(arrays, n, begin, end); });
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(LayerNormT);
HWY_EXPORT(LayerNormGradientT);

void LayerNorm(DType dtype, const void* x, const float* scale, const float* shift, int64_t n,
               float epsilon, void* y, float* mean, float* rstd, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(LayerNormT)(dtype, x, scale, shift, n, epsilon, y, mean, rstd, begin, end);
}

void LayerNormGradient(DType dtype, const LayerNormGradientArrays& arrays, int64_t n, int64_t begin,
                       int64_t end) {
  HWY_DYNAMIC_DISPATCH(LayerNormGradientT)(dtype, arrays, n, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
