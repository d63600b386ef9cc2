#include "engine/base/rng.h"

#include <cmath>
#include <numbers>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/base/rng.cc"
// foreach_target.h includes this file again, so it comes before the -inl file.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "engine/base/philox-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace hone::engine::HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

namespace hn = hwy::HWY_NAMESPACE;

// Word w of block `block` + b into words[w * count + b]. False, and nothing, where the vectors are
// longer than `count` or the upper half of the counter changes.
bool FillWords(uint64_t block, uint64_t index, uint64_t key, uint32_t count, uint32_t* words) {
  const hn::ScalableTag<uint32_t> u;
  const auto lanes = static_cast<uint32_t>(hn::Lanes(u));
  if (count % lanes != 0 || block >> 32 != (block + count - 1) >> 32) {
    return false;
  }
  for (uint32_t b = 0; b < count; b += lanes) {
    const PhiloxBlocks blocks(block + b, index, key);
    hn::StoreU(blocks.c0, u, words + b);
    hn::StoreU(blocks.c1, u, words + count + b);
    hn::StoreU(blocks.c2, u, words + 2 * count + b);
    hn::StoreU(blocks.c3, u, words + 3 * count + b);
  }
  return true;
}

#else

bool FillWords(uint64_t, uint64_t, uint64_t, uint32_t, uint32_t*) { return false; }

#endif

}  // namespace hone::engine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::engine {
HWY_EXPORT(FillWords);
namespace {

uint32_t Low(uint64_t number) { return static_cast<uint32_t>(number); }
uint32_t High(uint64_t number) { return static_cast<uint32_t>(number >> 32); }

}  // namespace

std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

uint64_t NameHash(absl::string_view name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  }
  return hash;
}

RandomStream::RandomStream(uint64_t seed, absl::string_view name, uint64_t index) : index_(index) {
  const uint64_t mixed = seed * 0x9E3779B97F4A7C15 ^ NameHash(name);
  key_ = {static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)};
}

// One block at first, since many streams are asked for a few numbers alone; then many, side by
// side.
void RandomStream::Refill() {
  const uint32_t blocks = block_ == 0 ? 1 : kBlocks;
  const uint64_t key = key_[0] | uint64_t{key_[1]} << 32;
  if (blocks == 1 ||
      !HWY_DYNAMIC_DISPATCH(FillWords)(block_, index_, key, kBlocks, words_.data())) {
    for (uint32_t b = 0; b < blocks; ++b) {
      const uint64_t block = block_ + b;
      const std::array<uint32_t, 4> words =
          Philox({Low(block), High(block), Low(index_), High(index_)}, key_);
      for (size_t w = 0; w < words.size(); ++w) {
        words_[w * kBlocks + b] = words[w];
      }
    }
  }
  block_ += blocks;
  there_ = 4 * blocks;
  used_ = 0;
}

float RandomStream::NextNormal() {
  const double u = (NextBits() + 0.5) * 0x1.0p-32;
  const double v = NextBits() * 0x1.0p-32;
  return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
}

}  // namespace hone::engine
#endif  // HWY_ONCE
