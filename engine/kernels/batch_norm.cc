#include "engine/kernels/batch_norm.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/batch_norm.cc"
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

// One walk over the tensor, for every kernel here. Calls run(offset, steps, stride, count, channel,
// one_channel) for each stretch of vectors that share their coefficients: vector i of `steps` is at
// offset + i · stride and has `count` numbers, of channel `channel` if one_channel, else of the
// channels from `channel` on.
template <typename Run>
HWY_INLINE void ForStretches(const ChannelView& view, int64_t begin, int64_t end, Run&& run) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(F()));
  const auto offset = [&](int64_t n, int64_t block) {
    return (n * view.blocks + block) * view.plane * view.lanes;
  };
  if (view.lanes > 1 && view.blocks == 1 && view.plane == 1) {  // a matrix: down its columns
    for (int64_t c = 0; c < view.lanes; c += lanes) {
      run(offset(begin, 0) + c, end - begin, view.lanes, std::min(lanes, view.lanes - c), c, false);
    }
    return;
  }
  for (int64_t n = begin; n < end; ++n) {
    for (int64_t block = 0; block < view.blocks; ++block) {
      if (view.lanes > 1) {
        for (int64_t lane = 0; lane < view.lanes; lane += lanes) {
          run(offset(n, block) + lane, view.plane, view.lanes, std::min(lanes, view.lanes - lane),
              block * view.lanes + lane, false);
        }
        continue;
      }
      const int64_t full = view.plane / lanes, rest = view.plane % lanes;
      run(offset(n, block), full, lanes, lanes, block, true);
      if (rest > 0) {
        run(offset(n, block) + full * lanes, 1, lanes, rest, block, true);
      }
    }
  }
}

// The coefficients of a stretch.
HWY_INLINE V Coefficients(const float* of_channels, int64_t channel, int64_t count,
                          bool one_channel) {
  return one_channel ? hn::Set(F(), of_channels[channel])
                     : LoadSome(of_channels + channel, count, static_cast<int64_t>(hn::Lanes(F())));
}

// Adds up f(i) of each step in f32 for a while, then in double.
template <typename Add2>
HWY_INLINE void AddStretch(int64_t steps, int64_t count, int64_t channel, bool one_channel,
                           double* first, double* second, Add2&& add) {
  constexpr int64_t kInFloat = 64;  // steps
  const F f;
  float sums[2][HWY_MAX_BYTES / sizeof(float)];
  for (int64_t i = 0; i < steps; i += kInFloat) {
    V a0 = hn::Zero(f), b0 = a0, a1 = a0, b1 = a0;
    const int64_t end = std::min(steps, i + kInFloat);
    int64_t j = i;
    for (; j + 1 < end; j += 2) {
      add(j, a0, b0);
      add(j + 1, a1, b1);
    }
    if (j < end) {
      add(j, a0, b0);
    }
    hn::StoreU(hn::Add(a0, a1), f, sums[0]);
    hn::StoreU(hn::Add(b0, b1), f, sums[1]);
    for (int64_t lane = 0; lane < count; ++lane) {
      first[one_channel ? channel : channel + lane] += static_cast<double>(sums[0][lane]);
      second[one_channel ? channel : channel + lane] += static_cast<double>(sums[1][lane]);
    }
  }
}

template <typename T>
void Moments(const ChannelView& view, const T* x, const float* center, int64_t begin, int64_t end,
             double* sum, double* squares) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(F()));
  ForStretches(view, begin, end,
               [&](int64_t offset, int64_t steps, int64_t stride, int64_t count, int64_t channel,
                   bool one_channel) {
                 const V m = Coefficients(center, channel, count, one_channel);
                 AddStretch(
                     steps, count, channel, one_channel, sum, squares, [&](int64_t i, V& s, V& q) {
                       const V d = hn::Sub(LoadSome(x + offset + i * stride, count, lanes), m);
                       s = hn::Add(s, d);
                       q = hn::MulAdd(d, d, q);
                     });
               });
}

template <typename T>
void Products(const ChannelView& view, const T* x, const T* dy, const float* center, int64_t begin,
              int64_t end, double* sum, double* products) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(F()));
  ForStretches(view, begin, end,
               [&](int64_t offset, int64_t steps, int64_t stride, int64_t count, int64_t channel,
                   bool one_channel) {
                 const V m = Coefficients(center, channel, count, one_channel);
                 AddStretch(steps, count, channel, one_channel, sum, products,
                            [&](int64_t i, V& s, V& p) {
                              const int64_t at = offset + i * stride;
                              const V d = LoadSome(dy + at, count, lanes);
                              s = hn::Add(s, d);
                              p = hn::MulAdd(d, hn::Sub(LoadSome(x + at, count, lanes), m), p);
                            });
               });
}

template <typename T>
void Scale(const ChannelView& view, const T* x, const float* center, const float* factor,
           const float* offsets, bool relu, int64_t begin, int64_t end, T* y) {
  const F f;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(f));
  const V least = hn::Set(f, relu ? 0.0f : -HUGE_VALF);
  ForStretches(view, begin, end,
               [&](int64_t offset, int64_t steps, int64_t stride, int64_t count, int64_t channel,
                   bool one_channel) {
                 const V m = Coefficients(center, channel, count, one_channel);
                 const V a = Coefficients(factor, channel, count, one_channel);
                 const V k = Coefficients(offsets, channel, count, one_channel);
                 for (int64_t i = 0; i < steps; ++i) {
                   const int64_t at = offset + i * stride;
                   const V v = hn::MulAdd(hn::Sub(LoadSome(x + at, count, lanes), m), a, k);
                   // Not Max: a NaN must stay one.
                   StoreSome(hn::IfThenElse(hn::Lt(v, least), least, v), y + at, count, lanes);
                 }
               });
}

template <typename T>
void ScaleGradient(const ChannelView& view, const T* x, const T* dy, const float* center,
                   const float* dy_factor, const float* x_factor, const float* offsets,
                   int64_t begin, int64_t end, T* dx) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(F()));
  ForStretches(view, begin, end,
               [&](int64_t offset, int64_t steps, int64_t stride, int64_t count, int64_t channel,
                   bool one_channel) {
                 const V m = Coefficients(center, channel, count, one_channel);
                 const V a = Coefficients(dy_factor, channel, count, one_channel);
                 const V b = Coefficients(x_factor, channel, count, one_channel);
                 const V k = Coefficients(offsets, channel, count, one_channel);
                 for (int64_t i = 0; i < steps; ++i) {
                   const int64_t at = offset + i * stride;
                   const V normal = hn::Sub(LoadSome(x + at, count, lanes), m);
                   const V v =
                       hn::MulAdd(LoadSome(dy + at, count, lanes), a, hn::MulAdd(normal, b, k));
                   StoreSome(v, dx + at, count, lanes);
                 }
               });
}

void MomentsT(const ChannelView& view, DType dtype, const void* x, const float* center,
              int64_t begin, int64_t end, double* sum, double* squares) {
  Dispatch(dtype, [&](auto tag) {
    Moments(view, static_cast<const decltype(tag)*>(x), center, begin, end, sum, squares);
  });
}

void ProductsT(const ChannelView& view, DType dtype, const void* x, const void* dy,
               const float* center, int64_t begin, int64_t end, double* sum, double* products) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    Products(view, static_cast<const T*>(x), static_cast<const T*>(dy), center, begin, end, sum,
             products);
  });
}

void ScaleT(const ChannelView& view, DType dtype, const void* x, const float* center,
            const float* factor, const float* offset, bool relu, int64_t begin, int64_t end,
            void* y) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    Scale(view, static_cast<const T*>(x), center, factor, offset, relu, begin, end,
          static_cast<T*>(y));
  });
}

void ScaleGradientT(const ChannelView& view, DType dtype, const void* x, const void* dy,
                    const float* center, const float* dy_factor, const float* x_factor,
                    const float* offset, int64_t begin, int64_t end, void* dx) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    ScaleGradient(view, static_cast<const T*>(x), static_cast<const T*>(dy), center, dy_factor,
                  x_factor, offset, begin, end, static_cast<T*>(dx));
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(MomentsT);
HWY_EXPORT(ProductsT);
HWY_EXPORT(ScaleT);
HWY_EXPORT(ScaleGradientT);

void ChannelMoments(const ChannelView& view, DType dtype, const void* x, const float* center,
                    int64_t begin, int64_t end, double* sum, double* squares) {
  HWY_DYNAMIC_DISPATCH(MomentsT)(view, dtype, x, center, begin, end, sum, squares);
}

void ChannelProducts(const ChannelView& view, DType dtype, const void* x, const void* dy,
                     const float* center, int64_t begin, int64_t end, double* sum,
                     double* products) {
  HWY_DYNAMIC_DISPATCH(ProductsT)(view, dtype, x, dy, center, begin, end, sum, products);
}

void ChannelScale(const ChannelView& view, DType dtype, const void* x, const float* center,
                  const float* factor, const float* offset, bool relu, int64_t begin, int64_t end,
                  void* y) {
  HWY_DYNAMIC_DISPATCH(ScaleT)(view, dtype, x, center, factor, offset, relu, begin, end, y);
}

void ChannelScaleGradient(const ChannelView& view, DType dtype, const void* x, const void* dy,
                          const float* center, const float* dy_factor, const float* x_factor,
                          const float* offset, int64_t begin, int64_t end, void* dx) {
  HWY_DYNAMIC_DISPATCH(ScaleGradientT)
  (view, dtype, x, dy, center, dy_factor, x_factor, offset, begin, end, dx);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
