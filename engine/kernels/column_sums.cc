#include "engine/kernels/column_sums.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/column_sums.cc"
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

// kVectors vectors of columns down all rows: whole ones, but for a single one of `count` numbers.
template <int kVectors, typename T>
HWY_INLINE void SumVectors(const T* x, int64_t rows, int64_t columns, int64_t count, float* y) {
  const hn::ScalableTag<float> f;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f));
  hn::Vec<decltype(f)> sums[kVectors];
  for (int i = 0; i < kVectors; ++i) {
    sums[i] = hn::Zero(f);
  }
  for (int64_t r = 0; r < rows; ++r, x += columns) {
    for (int i = 0; i < kVectors; ++i) {
      sums[i] = hn::Add(sums[i], LoadSome(x + i * lanes, count, lanes));
    }
  }
  for (int i = 0; i < kVectors; ++i) {
    StoreSome(sums[i], y + i * lanes, count, lanes);
  }
}

template <typename T>
void SumAll(const T* x, int64_t rows, int64_t columns, int64_t count, float* y) {
  constexpr int kVectors = 8;
  const auto lanes = static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>()));
  int64_t n = 0;
  for (; n + kVectors * lanes <= count; n += kVectors * lanes) {
    SumVectors<kVectors>(x + n, rows, columns, lanes, y + n);
  }
  for (; n < count; n += lanes) {
    SumVectors<1>(x + n, rows, columns, std::min(lanes, count - n), y + n);
  }
}

void SumColumnsT(DType dtype, const void* x, int64_t rows, int64_t columns, float* y, int64_t begin,
                 int64_t end) {
  Dispatch(dtype, [&](auto type) {
    SumAll(static_cast<const decltype(type)*>(x) + begin, rows, columns, end - begin, y + begin);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(SumColumnsT);

void SumColumns(DType dtype, const void* x, int64_t rows, int64_t columns, float* y, int64_t begin,
                int64_t end) {
  HWY_DYNAMIC_DISPATCH(SumColumnsT)(dtype, x, rows, columns, y, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
