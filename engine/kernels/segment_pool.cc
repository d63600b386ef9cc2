#include "engine/kernels/segment_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/segment_pool.cc"
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
using I = hn::RebindToSigned<F>;

// body(column, how many columns a vector has from there on, as many as are left)
template <typename Body>
HWY_INLINE void ForColumns(int64_t width, Body&& body) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(F()));
  for (int64_t j = 0; j < width; j += lanes) {
    body(j, width - j, lanes);
  }
}

void SegmentMeanT(DType dtype, const void* x, const int32_t* offsets, int64_t width, void* y,
                  int64_t begin, int64_t end) {
  Dispatch(dtype, [&](auto tag) {
    const auto* rows = static_cast<const decltype(tag)*>(x);
    auto* to = static_cast<decltype(tag)*>(y);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = offsets[i], last = offsets[i + 1];
      const auto share = hn::Set(F(), first < last ? 1.0f / static_cast<float>(last - first) : 0);
      ForColumns(width, [&](int64_t j, int64_t left, int64_t lanes) {
        auto sum = hn::Zero(F());
        for (int64_t r = first; r < last; ++r) {
          sum = hn::Add(sum, LoadSome(rows + r * width + j, left, lanes));
        }
        StoreSome(hn::Mul(sum, share), to + i * width + j, left, lanes);
      });
    }
  });
}

void SegmentMeanGradientT(DType dtype, const void* dy, const int32_t* offsets, int64_t width,
                          void* dx, int64_t begin, int64_t end) {
  Dispatch(dtype, [&](auto tag) {
    const auto* from = static_cast<const decltype(tag)*>(dy);
    auto* to = static_cast<decltype(tag)*>(dx);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = offsets[i], last = offsets[i + 1];
      const auto share = hn::Set(F(), first < last ? 1.0f / static_cast<float>(last - first) : 0);
      for (int64_t r = first; r < last; ++r) {
        Map(width, from + i * width, to + r * width, [&](auto v) { return hn::Mul(v, share); });
      }
    }
  });
}

void SegmentMaxT(DType dtype, const void* x, const int32_t* offsets, int64_t width, void* y,
                 int32_t* row, int64_t begin, int64_t end) {
  Dispatch(dtype, [&](auto tag) {
    const auto* rows = static_cast<const decltype(tag)*>(x);
    auto* to = static_cast<decltype(tag)*>(y);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = offsets[i], last = offsets[i + 1];
      ForColumns(width, [&](int64_t j, int64_t left, int64_t lanes) {
        auto best = hn::Zero(F());
        auto best_row = hn::Set(I(), -1);
        for (int64_t r = first; r < last; ++r) {
          const auto v = LoadSome(rows + r * width + j, left, lanes);
          const auto at = hn::Set(I(), static_cast<int32_t>(r));
          // A NaN is taken, and nothing is larger than it.
          const auto better = hn::Or(hn::Gt(v, best), hn::IsNaN(v));
          best = r == first ? v : hn::IfThenElse(better, v, best);
          best_row = r == first ? at : hn::IfThenElse(hn::RebindMask(I(), better), at, best_row);
        }
        StoreSome(best, to + i * width + j, left, lanes);
        HWY_ALIGN int32_t named[HWY_MAX_BYTES / sizeof(int32_t)];
        hn::Store(best_row, I(), named);
        for (int64_t k = 0; k < left && k < lanes; ++k) {
          row[i * width + j + k] = named[k];
        }
      });
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(SegmentMeanT);
HWY_EXPORT(SegmentMeanGradientT);
HWY_EXPORT(SegmentMaxT);

void SegmentMean(DType dtype, const void* x, const int32_t* offsets, int64_t width, void* y,
                 int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(SegmentMeanT)(dtype, x, offsets, width, y, begin, end);
}
void SegmentMeanGradient(DType dtype, const void* dy, const int32_t* offsets, int64_t width,
                         void* dx, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(SegmentMeanGradientT)(dtype, dy, offsets, width, dx, begin, end);
}
void SegmentMax(DType dtype, const void* x, const int32_t* offsets, int64_t width, void* y,
                int32_t* row, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(SegmentMaxT)(dtype, x, offsets, width, y, row, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
