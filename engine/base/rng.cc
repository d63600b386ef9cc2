#include "engine/base/rng.h"

#include <cmath>
#include <numbers>

namespace hone::engine {

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

uint32_t RandomStream::NextBits() {
  if (used_ == 4) {
    words_ = Philox({static_cast<uint32_t>(block_), static_cast<uint32_t>(block_ >> 32),
                     static_cast<uint32_t>(index_), static_cast<uint32_t>(index_ >> 32)},
                    key_);
    ++block_;
    used_ = 0;
  }
  return words_[used_++];
}

float RandomStream::NextNormal() {
  const double u = (NextBits() + 0.5) * 0x1.0p-32;
  const double v = NextBits() * 0x1.0p-32;
  return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
}

uint64_t RandomStream::NextBelow(uint64_t bound) {
  const auto next = [this] {
    const uint64_t high = NextBits();
    return high << 32 | NextBits();
  };
  unsigned __int128 product = static_cast<unsigned __int128>(next()) * bound;
  const uint64_t threshold = -bound % bound;
  while (static_cast<uint64_t>(product) < threshold) {
    product = static_cast<unsigned __int128>(next()) * bound;
  }
  return static_cast<uint64_t>(product >> 64);
}

}  // namespace hone::engine
