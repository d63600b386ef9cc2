// What softmax and cross-entropy share of a row; compiled once for each instruction set (Highway's
// per-target include guard).

#if defined(HONE_KERNELS_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_KERNELS_SOFTMAX_INL_H_
#undef HONE_KERNELS_SOFTMAX_INL_H_
#else
#define HONE_KERNELS_SOFTMAX_INL_H_
#endif

#include <cstdint>

#include "engine/kernels/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

HWY_INLINE float RowMax(const float* x, int64_t n) {
  const hn::ScalableTag<float> f;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(f));
  float best = x[0];
  int64_t i = 0;
  if (n >= lanes) {
    auto m = hn::LoadU(f, x);
    for (i = lanes; i + lanes <= n; i += lanes) {
      m = hn::Max(m, hn::LoadU(f, x + i));
    }
    best = hn::GetLane(hn::MaxOfLanes(f, m));
  }
  for (; i < n; ++i) {
    best = x[i] > best ? x[i] : best;
  }
  return best;
}

// y = exp(x − shift); returns the sum.
HWY_INLINE float RowExp(const float* x, int64_t n, float shift, float* y) {
  const hn::ScalableTag<float> f;
  const auto s = hn::Set(f, shift);
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(f));
  auto sum = hn::Zero(f);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto e = ExpOf(f, hn::Sub(hn::LoadU(f, x + i), s));
    hn::StoreU(e, f, y + i);
    sum = hn::Add(sum, e);
  }
  float total = hn::GetLane(hn::SumOfLanes(f, sum));
  if (i < n) {
    HWY_ALIGN float rest[HWY_MAX_BYTES / sizeof(float)] = {};
    for (int64_t j = i; j < n; ++j) {
      rest[j - i] = x[j];
    }
    hn::StoreU(ExpOf(f, hn::Sub(hn::LoadU(f, rest), s)), f, rest);
    for (int64_t j = i; j < n; ++j) {
      y[j] = rest[j - i];
      total += rest[j - i];
    }
  }
  return total;
}

}  // namespace hone::engine::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HONE_KERNELS_SOFTMAX_INL_H_
