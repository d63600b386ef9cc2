#include "engine/kernels/arrays.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/arrays.cc"
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

void AddT(DType dtype, const void* a, const void* b, void* y, int64_t begin, int64_t end) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    Map2(end - begin, static_cast<const T*>(a) + begin, static_cast<const T*>(b) + begin,
         static_cast<T*>(y) + begin, [](V u, V v) { return hn::Add(u, v); });
  });
}

void MultiplyT(DType dtype, const void* a, const void* b, void* y, int64_t begin, int64_t end) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    Map2(end - begin, static_cast<const T*>(a) + begin, static_cast<const T*>(b) + begin,
         static_cast<T*>(y) + begin, [](V u, V v) { return hn::Mul(u, v); });
  });
}

void ShiftT(DType dtype, float shift, const void* x, void* y, int64_t begin, int64_t end) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    const V s = hn::Set(F(), shift);
    Map(end - begin, static_cast<const T*>(x) + begin, static_cast<T*>(y) + begin,
        [&](V v) { return hn::Add(v, s); });
  });
}

void ScaleT(DType dtype, float factor, const void* x, void* y, int64_t begin, int64_t end) {
  Dispatch(dtype, [&](auto tag) {
    using T = decltype(tag);
    const V s = hn::Set(F(), factor);
    Map(end - begin, static_cast<const T*>(x) + begin, static_cast<T*>(y) + begin,
        [&](V v) { return hn::Mul(v, s); });
  });
}

bool HasNanT(DType dtype, const void* x, int64_t begin, int64_t end) {
  bool found = false;
  Dispatch(dtype, [&](auto tag) {
    const auto* from = static_cast<const decltype(tag)*>(x);
    const F f;
    const auto lanes = static_cast<int64_t>(hn::Lanes(f));
    for (int64_t i = begin; i < end && !found; i += lanes) {
      const V v = LoadSome(from + i, end - i, lanes);
      found = !hn::AllFalse(f, hn::IsNaN(v));
    }
  });
  return found;
}

#if HWY_TARGET != HWY_SCALAR

double SumT(const float* x, int64_t begin, int64_t end) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> half;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  int64_t i = begin;
  for (; i + 4 * lanes <= end; i += 4 * lanes) {
    sum0 = hn::Add(sum0, hn::PromoteTo(d, hn::LoadU(half, x + i)));
    sum1 = hn::Add(sum1, hn::PromoteTo(d, hn::LoadU(half, x + i + lanes)));
    sum2 = hn::Add(sum2, hn::PromoteTo(d, hn::LoadU(half, x + i + 2 * lanes)));
    sum3 = hn::Add(sum3, hn::PromoteTo(d, hn::LoadU(half, x + i + 3 * lanes)));
  }
  double sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
  for (; i < end; ++i) {
    sum += x[i];
  }
  return sum;
}

#else

double SumT(const float* x, int64_t begin, int64_t end) {
  double sum = 0;
  for (int64_t i = begin; i < end; ++i) {
    sum += x[i];
  }
  return sum;
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(AddT);
HWY_EXPORT(MultiplyT);
HWY_EXPORT(ShiftT);
HWY_EXPORT(ScaleT);
HWY_EXPORT(HasNanT);
HWY_EXPORT(SumT);

void AddArrays(DType dtype, const void* a, const void* b, void* y, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(AddT)(dtype, a, b, y, begin, end);
}
void MultiplyArrays(DType dtype, const void* a, const void* b, void* y, int64_t begin,
                    int64_t end) {
  HWY_DYNAMIC_DISPATCH(MultiplyT)(dtype, a, b, y, begin, end);
}
void ShiftArray(DType dtype, float shift, const void* x, void* y, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(ShiftT)(dtype, shift, x, y, begin, end);
}
void ScaleArray(DType dtype, float factor, const void* x, void* y, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(ScaleT)(dtype, factor, x, y, begin, end);
}
bool HasNan(DType dtype, const void* x, int64_t begin, int64_t end) {
  return HWY_DYNAMIC_DISPATCH(HasNanT)(dtype, x, begin, end);
}
double SumArray(const float* x, int64_t begin, int64_t end) {
  return HWY_DYNAMIC_DISPATCH(SumT)(x, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
