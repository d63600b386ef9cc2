#include "engine/kernels/row_dot.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/row_dot.cc"
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

void RowDotsT(const float* a, const float* b, int64_t width, float* y, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  ForWidth(width, [&](auto floats) {
    for (int64_t i = begin; i < end; ++i) {
      const float* u = a + i * floats;
      const float* v = b + i * floats;
      auto sums = hn::Zero(d);
      int64_t j = 0;
      for (const int64_t whole = floats - floats % lanes; j < whole; j += lanes) {
        sums = hn::MulAdd(hn::LoadU(d, u + j), hn::LoadU(d, v + j), sums);
      }
      float sum = hn::GetLane(hn::SumOfLanes(d, sums));
      for (; j < floats; ++j) {
        sum += u[j] * v[j];
      }
      y[i] = sum;
    }
  });
}

void ScaleRowsT(const float* factors, const float* x, int64_t width, float* y, int64_t begin,
                int64_t end) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  ForWidth(width, [&](auto floats) {
    for (int64_t i = begin; i < end; ++i) {
      const float* from = x + i * floats;
      float* to = y + i * floats;
      const auto factor = hn::Set(d, factors[i]);
      int64_t j = 0;
      for (const int64_t whole = floats - floats % lanes; j < whole; j += lanes) {
        hn::StoreU(hn::Mul(factor, hn::LoadU(d, from + j)), d, to + j);
      }
      for (; j < floats; ++j) {
        to[j] = factors[i] * from[j];
      }
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(RowDotsT);
HWY_EXPORT(ScaleRowsT);

void RowDots(const float* a, const float* b, int64_t width, float* y, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(RowDotsT)(a, b, width, y, begin, end);
}
void ScaleRows(const float* factors, const float* x, int64_t width, float* y, int64_t begin,
               int64_t end) {
  HWY_DYNAMIC_DISPATCH(ScaleRowsT)(factors, x, width, y, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
