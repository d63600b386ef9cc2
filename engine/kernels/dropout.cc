#include <algorithm>

#include "engine/base/rng.h"
#include "engine/kernels/elementwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/dropout.cc"
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
using U = hn::ScalableTag<uint32_t>;
using Words = hn::Vec<U>;

#if HWY_TARGET != HWY_SCALAR

// The two halves of counter · factor in each lane.
struct Product {
  HWY_INLINE Product(Words counter, Words factor) {
    const U u;
    const hn::Repartition<uint64_t, U> wide;
    const auto even = hn::MulEven(counter, factor);
    const auto odd =
        hn::MulEven(hn::BitCast(u, hn::ShiftRight<32>(hn::BitCast(wide, counter))), factor);
    high = hn::OddEven(hn::BitCast(u, odd), hn::BitCast(u, hn::ShiftRight<32>(even)));
    low = hn::OddEven(hn::BitCast(u, hn::ShiftLeft<32>(odd)), hn::BitCast(u, even));
  }
  Words high, low;
};

// Philox4x32-10 as base/rng.h has it, a vector of blocks at once: four words of each into `words`.
HWY_INLINE void PhiloxBlocks(uint64_t block, uint64_t key, uint32_t* HWY_RESTRICT words) {
  const U u;
  // The blocks of a vector have the same upper half: the caller sees to it.
  Words c0 = hn::Add(hn::Set(u, static_cast<uint32_t>(block)), hn::Iota(u, 0));
  Words c1 = hn::Set(u, static_cast<uint32_t>(block >> 32));
  Words c2 = hn::Zero(u), c3 = hn::Zero(u);
  const Words factor0 = hn::Set(u, 0xD2511F53), factor1 = hn::Set(u, 0xCD9E8D57);
  auto key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const Product p0(c0, factor0), p1(c2, factor1);
    c0 = hn::Xor(hn::Xor(p1.high, c1), hn::Set(u, key0));
    c1 = p1.low;
    c2 = hn::Xor(hn::Xor(p0.high, c3), hn::Set(u, key1));
    c3 = p0.low;
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  hn::StoreInterleaved4(c0, c1, c2, c3, u, words);
}

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
             int64_t n) {
  const float factor = 1 / (1 - rate);
  const auto one_by_one = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
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
