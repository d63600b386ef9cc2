#include "engine/kernels/cached_attention.h"

#include <algorithm>

#include "engine/kernels/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/cached_attention.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/kernels/softmax-inl.h"
#include "engine/kernels/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F = hn::ScalableTag<float>;

HWY_INLINE float Dot(const float* a, const float* b, int64_t n) {
  const F f;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f));
  auto sums = hn::Zero(f);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    sums = hn::MulAdd(hn::LoadU(f, a + i), hn::LoadU(f, b + i), sums);
  }
  float sum = hn::GetLane(hn::SumOfLanes(f, sums));
  for (; i < n; ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}

void AttendCachedT(const CachedAttention& a, const CachedAttentionArrays& arrays, float* y,
                   float* scratch, int64_t begin, int64_t end) {
  const F f;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f));
  const int64_t kv_row = a.kv_heads * a.dim, group = a.heads / a.kv_heads;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t row = i / a.heads, kv_head = i % a.heads / group;
    const int64_t last = arrays.places[row];
    const int64_t first = a.window > 0 ? std::max<int64_t>(last + 1 - a.window, 0) : 0;
    const int64_t keys = last + 1 - first;
    // Where key j of those that are seen lies in the cache.
    const int32_t* ancestors =
        arrays.ancestors == nullptr ? nullptr : arrays.ancestors + row * arrays.place_count + first;
    const auto at = [&](int64_t j) {
      const int64_t owner = ancestors == nullptr || first + j == last ? row : ancestors[j];
      return (owner * arrays.place_count + first + j) * kv_row + kv_head * a.dim;
    };
    const float* query = arrays.q + i * a.dim;
    float* weights = scratch + i * arrays.place_count;
    const float slope = a.alibi ? AlibiSlope(i % a.heads, a.heads) : 0;
    for (int64_t j = 0; j < keys; ++j) {
      weights[j] =
          a.scale * Dot(query, arrays.k + at(j), a.dim) - slope * static_cast<float>(keys - 1 - j);
    }
    const float sum = RowExp(weights, keys, RowMax(weights, keys), weights);
    const auto share = hn::Set(f, 1 / sum);
    for (int64_t d = 0; d < a.dim; d += lanes) {
      auto mean = hn::Zero(f);
      for (int64_t j = 0; j < keys; ++j) {
        mean = hn::MulAdd(hn::Set(f, weights[j]), LoadSome(arrays.v + at(j) + d, a.dim - d, lanes),
                          mean);
      }
      StoreSome(hn::Mul(mean, share), y + i * a.dim + d, a.dim - d, lanes);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(AttendCachedT);

void AttendCached(const CachedAttention& a, const CachedAttentionArrays& arrays, float* y,
                  float* scratch, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(AttendCachedT)(a, arrays, y, scratch, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
