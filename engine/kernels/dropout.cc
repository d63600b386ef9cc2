#include "engine/kernels/dropout.h"

#include <algorithm>

#include "engine/base/rng.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/dropout.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/kernels/philox-inl.h"
#include "engine/kernels/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using U = hn::ScalableTag<uint32_t>;

#if HWY_TARGET != HWY_SCALAR

template <typename T>
void DropBlocks(float rate, uint64_t key, uint64_t block, const T* x, T* y, int64_t n) {
  const hn::ScalableTag<float> f;
  const hn::RebindToSigned<decltype(f)> s;
  const U u;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f));
  const auto scale = hn::Set(f, 1 / (1 - rate)), least = hn::Set(f, rate);
  HWY_ALIGN uint32_t words[4 * HWY_MAX_BYTES / sizeof(uint32_t)];
  for (int64_t i = 0; i < n; i += 4 * lanes, block += static_cast<uint64_t>(lanes)) {
    PhiloxBlocks(block, key, words);
    for (int64_t k = 0; k < 4 * lanes; k += lanes) {
      const auto bits = hn::ShiftRight<8>(hn::Load(u, words + k));
      const auto unit = hn::Mul(hn::ConvertTo(f, hn::BitCast(s, bits)), hn::Set(f, 0x1.0p-24f));
      const auto kept = hn::IfThenElseZero(hn::Ge(unit, least), scale);
      StoreVector(f, hn::Mul(LoadVector(f, x + i + k), kept), y + i + k);
    }
  }
}

// `first` is a multiple of 4. Returns how many of the n elements it did: whole vectors of blocks.
int64_t DropVectors(DType dtype, float rate, uint64_t key, uint64_t first, const void* x, void* y,
                    int64_t n) {
  const int64_t step = 4 * static_cast<int64_t>(hn::Lanes(U()));
  const uint64_t block = first / 4, last = (first + static_cast<uint64_t>(n)) / 4;
  const int64_t done = block >> 32 == last >> 32 ? n / step * step : 0;
  Dispatch(dtype, [&](auto type) {
    using T = decltype(type);
    DropBlocks(rate, key, block, static_cast<const T*>(x), static_cast<T*>(y), done);
  });
  return done;
}

#else

int64_t DropVectors(DType, float, uint64_t, uint64_t, const void*, void*, int64_t) { return 0; }

#endif

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(DropVectors);

bool DropoutKeeps(float rate, uint64_t key, uint64_t index) {
  const uint64_t block = index / 4;
  const auto words =
      Philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0},
             {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)});
  return ToUnitFloat(words[index % 4]) >= rate;
}

void Dropout(DType dtype, float rate, uint64_t key, uint64_t first, const void* x, void* y,
             int64_t begin, int64_t end) {
  x = static_cast<const char*>(x) + begin * SizeOf(dtype);
  y = static_cast<char*>(y) + begin * SizeOf(dtype);
  first += static_cast<uint64_t>(begin);
  const int64_t n = end - begin;
  const float factor = 1 / (1 - rate);
  const auto one_by_one = [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const bool kept = DropoutKeeps(rate, key, first + static_cast<uint64_t>(i));
      const float scale = kept ? factor : 0.0f;
      if (dtype == DType::kBf16) {
        static_cast<uint16_t*>(y)[i] = ToBf16(FromBf16(static_cast<const uint16_t*>(x)[i]) * scale);
      } else {
        static_cast<float*>(y)[i] = static_cast<const float*>(x)[i] * scale;
      }
    }
  };
  const auto head = std::min(n, static_cast<int64_t>(-first % 4));
  one_by_one(0, head);
  const int64_t bytes = head * SizeOf(dtype);
  const int64_t vectors = HWY_DYNAMIC_DISPATCH(DropVectors)(
      dtype, rate, key, first + static_cast<uint64_t>(head), static_cast<const char*>(x) + bytes,
      static_cast<char*>(y) + bytes, n - head);
  one_by_one(head + vectors, n);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
