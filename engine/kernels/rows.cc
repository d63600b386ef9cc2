#include "engine/kernels/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/rows.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The empty asm keeps the compiler from making each loop a call of memcpy again.
HWY_INLINE void CopyRow(const float* from, int64_t width, float* to) {
  const hn::CappedTag<float, 8> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t j = 0;
  for (; j + lanes <= width; j += lanes) {
    hn::StoreU(hn::LoadU(d, from + j), d, to + j);
    asm volatile("");
  }
  for (; j < width; ++j) {
    to[j] = from[j];
    asm volatile("");
  }
}

void GatherRowsT(const float* from, const int32_t* rows, int64_t width, float* to, int64_t begin,
                 int64_t end) {
  if (width == 1) {
    for (int64_t i = begin; i < end; ++i) {
      to[i] = from[rows[i]];
    }
    return;
  }
  for (int64_t i = begin; i < end; ++i) {
    CopyRow(from + rows[i] * width, width, to + i * width);
  }
}

void ScatterRowsT(const float* from, const int32_t* rows, int64_t width, float* to, int64_t begin,
                  int64_t end) {
  if (width == 1) {
    for (int64_t i = begin; i < end; ++i) {
      to[rows[i]] = from[i];
    }
    return;
  }
  for (int64_t i = begin; i < end; ++i) {
    CopyRow(from + i * width, width, to + rows[i] * width);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(GatherRowsT);
HWY_EXPORT(ScatterRowsT);

void GatherRows(const float* from, const int32_t* rows, int64_t width, float* to, int64_t begin,
                int64_t end) {
  HWY_DYNAMIC_DISPATCH(GatherRowsT)(from, rows, width, to, begin, end);
}
void ScatterRows(const float* from, const int32_t* rows, int64_t width, float* to, int64_t begin,
                 int64_t end) {
  HWY_DYNAMIC_DISPATCH(ScatterRowsT)(from, rows, width, to, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
