#include "engine/kernels/dropout.h"

#include <algorithm>
#include <cmath>

#include "engine/base/rng.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/dropout.cc"
// foreach_target.h includes this file again, so it comes before the -inl files.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/base/philox-inl.h"
#include "engine/kernels/vector-inl.h"
// clang-format on

// How the elements of a run are chosen.
#ifndef HONE_KERNELS_DROPOUT_CHOICE
#define HONE_KERNELS_DROPOUT_CHOICE
namespace hone::engine::kernels {
struct Choice {
  uint64_t key;
  int32_t least_kept;  // of the numbers below 65536
  float scale;         // of what is kept
};
}  // namespace hone::engine::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace hone::engine::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

template <typename T>
void DropBlocks(const Choice& choice, uint64_t block, const T* x, T* y, int64_t n) {
  const hn::ScalableTag<float> f;
  const hn::RebindToSigned<decltype(f)> s;
  const hn::Rebind<uint16_t, decltype(f)> half;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f));
  const auto scale = hn::Set(f, choice.scale);
  const auto dropped = hn::Set(s, choice.least_kept - 1);
  HWY_ALIGN uint32_t words[4 * HWY_MAX_BYTES / sizeof(uint32_t)];
  const auto* numbers = reinterpret_cast<const uint16_t*>(words);
  for (int64_t i = 0; i < n; i += kDropoutBlock * lanes, block += static_cast<uint64_t>(lanes)) {
    const engine::HWY_NAMESPACE::PhiloxBlocks blocks(block, 0, choice.key);
    hn::StoreInterleaved4(blocks.c0, blocks.c1, blocks.c2, blocks.c3, hn::ScalableTag<uint32_t>(),
                          words);
    for (int64_t k = 0; k < std::min(kDropoutBlock * lanes, n - i); k += lanes) {
      const auto number = hn::PromoteTo(s, hn::LoadU(half, numbers + k));
      const auto kept = hn::IfThenElseZero(hn::RebindMask(f, hn::Gt(number, dropped)), scale);
      const auto some = LoadSome(x + i + k, n - i - k, lanes);
      StoreSome(hn::Mul(some, kept), y + i + k, n - i - k, lanes);
    }
  }
}

// `first` is a multiple of kDropoutBlock. Returns how many of the n elements it did: all, but where
// the upper half of the counter changes.
int64_t DropVectors(DType dtype, const Choice& choice, uint64_t first, const void* x, void* y,
                    int64_t n) {
  const uint64_t block = first / kDropoutBlock;
  const uint64_t last =
      block + static_cast<uint64_t>(n) / kDropoutBlock + hn::Lanes(hn::ScalableTag<float>());
  const int64_t done = block >> 32 == last >> 32 ? n : 0;
  Dispatch(dtype, [&](auto type) {
    using T = decltype(type);
    DropBlocks(choice, block, static_cast<const T*>(x), static_cast<T*>(y), done);
  });
  return done;
}

#else

int64_t DropVectors(DType, const Choice&, uint64_t, const void*, void*, int64_t) { return 0; }

#endif

}  // namespace HWY_NAMESPACE
}  // namespace hone::engine::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine::kernels {
HWY_EXPORT(DropVectors);
namespace {

Choice ChoiceOf(float rate, uint64_t key) {
  const auto least = static_cast<int32_t>(std::lround(double{rate} * 65536));
  return {.key = key, .least_kept = least, .scale = 1 / (1 - rate)};
}

bool Keeps(const Choice& choice, uint64_t index) {
  const uint64_t block = index / kDropoutBlock, place = index % kDropoutBlock;
  const auto words =
      Philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0},
             {static_cast<uint32_t>(choice.key), static_cast<uint32_t>(choice.key >> 32)});
  return static_cast<int32_t>(words[place / 2] >> (place % 2 * 16) & 0xffff) >= choice.least_kept;
}

}  // namespace

bool DropoutKeeps(float rate, uint64_t key, uint64_t index) {
  return Keeps(ChoiceOf(rate, key), index);
}

void Dropout(DType dtype, float rate, uint64_t key, uint64_t first, const void* x, void* y,
             int64_t begin, int64_t end) {
  x = static_cast<const char*>(x) + begin * SizeOf(dtype);
  y = static_cast<char*>(y) + begin * SizeOf(dtype);
  first += static_cast<uint64_t>(begin);
  const int64_t n = end - begin;
  const Choice choice = ChoiceOf(rate, key);
  const auto one_by_one = [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const float scale = Keeps(choice, first + static_cast<uint64_t>(i)) ? choice.scale : 0.0f;
      if (dtype == DType::kBf16) {
        static_cast<uint16_t*>(y)[i] = ToBf16(FromBf16(static_cast<const uint16_t*>(x)[i]) * scale);
      } else {
        static_cast<float*>(y)[i] = static_cast<const float*>(x)[i] * scale;
      }
    }
  };
  const auto head = std::min(n, static_cast<int64_t>(-first % kDropoutBlock));
  one_by_one(0, head);
  const int64_t bytes = head * SizeOf(dtype);
  const int64_t vectors = HWY_DYNAMIC_DISPATCH(DropVectors)(
      dtype, choice, first + static_cast<uint64_t>(head), static_cast<const char*>(x) + bytes,
      static_cast<char*>(y) + bytes, n - head);
  one_by_one(head + vectors, n);
}

}  // namespace hone::engine::kernels
#endif  // HWY_ONCE
