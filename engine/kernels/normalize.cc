#include "engine/kernels/normalize.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/normalize.cc"
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

template <typename T>
void Normalize(const uint8_t* x, float mean, float factor, T* y, int64_t n) {
  const F f;
  const hn::Rebind<uint8_t, F> bytes;
  const hn::Rebind<int32_t, F> ints;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(f));
  const V m = hn::Set(f, mean), s = hn::Set(f, factor);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const V v = hn::ConvertTo(f, hn::PromoteTo(ints, hn::LoadU(bytes, x + i)));
    StoreVector(f, hn::Mul(hn::Sub(v, m), s), y + i);
  }
  for (; i < n; ++i) {
    const float value = (static_cast<float>(x[i]) - mean) * factor;
    if constexpr (sizeof(T) == 2) {
      y[i] = ToBf16(value);
    } else {
      y[i] = value;
    }
  }
}

void NormalizeT(const uint8_t* x, float mean, float factor, DType dtype, void* y, int64_t begin,
                int64_t end) {
  Dispatch(dtype, [&](auto tag) {
    Normalize(x + begin, mean, factor, static_cast<decltype(tag)*>(y) + begin, end - begin);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(NormalizeT);

void NormalizeBytes(const uint8_t* x, float mean, float factor, DType dtype, void* y, int64_t begin,
                    int64_t end) {
  HWY_DYNAMIC_DISPATCH(NormalizeT)(x, mean, factor, dtype, y, begin, end);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
