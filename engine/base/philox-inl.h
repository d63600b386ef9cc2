// Philox4x32-10 as rng.h has it, a vector of blocks at once; compiled once for each instruction set
// (Highway's per-target include guard).

#if defined(HONE_BASE_PHILOX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_BASE_PHILOX_INL_H_
#undef HONE_BASE_PHILOX_INL_H_
#else
#define HONE_BASE_PHILOX_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hone::engine::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

// The two halves of counter · factor in each lane.
struct WideProduct {
  using U = hn::ScalableTag<uint32_t>;

  HWY_INLINE WideProduct(hn::Vec<U> counter, hn::Vec<U> factor) {
    const U u;
    const hn::Repartition<uint64_t, U> wide;
    const auto even = hn::MulEven(counter, factor);
    const auto odd =
        hn::MulEven(hn::BitCast(u, hn::ShiftRight<32>(hn::BitCast(wide, counter))), factor);
    high = hn::OddEven(hn::BitCast(u, odd), hn::BitCast(u, hn::ShiftRight<32>(even)));
    low = hn::OddEven(hn::BitCast(u, hn::ShiftLeft<32>(odd)), hn::BitCast(u, even));
  }
  hn::Vec<U> high, low;
};

// The four words of blocks [block, block + lanes) of the stream `index`, a block in each lane. They
// have the same upper half of the counter: the caller sees to it.
struct PhiloxBlocks {
  using U = hn::ScalableTag<uint32_t>;

  HWY_INLINE PhiloxBlocks(uint64_t block, uint64_t index, uint64_t key) {
    const U u;
    c0 = hn::Add(hn::Set(u, static_cast<uint32_t>(block)), hn::Iota(u, 0));
    c1 = hn::Set(u, static_cast<uint32_t>(block >> 32));
    c2 = hn::Set(u, static_cast<uint32_t>(index));
    c3 = hn::Set(u, static_cast<uint32_t>(index >> 32));
    const auto factor0 = hn::Set(u, 0xD2511F53), factor1 = hn::Set(u, 0xCD9E8D57);
    auto key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const WideProduct p0(c0, factor0), p1(c2, factor1);
      c0 = hn::Xor(hn::Xor(p1.high, c1), hn::Set(u, key0));
      c1 = p1.low;
      c2 = hn::Xor(hn::Xor(p0.high, c3), hn::Set(u, key1));
      c3 = p0.low;
      key0 += 0x9E3779B9;
      key1 += 0xBB67AE85;
    }
  }
  hn::Vec<U> c0, c1, c2, c3;
};

#endif

}  // namespace hone::engine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HONE_BASE_PHILOX_INL_H_
