#pragma once

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace hone::engine {

// Philox4x32-10: a counter-based generator. The same (key, counter) gives the same four words on
// every machine and for any number of threads. Source: Salmon, Moraes, Dror, Shaw, "Parallel Random
// Numbers: As Easy as 1, 2, 3", SC 2011.
std::array<uint32_t, 4> Philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A number for a name, equal on every machine (FNV-1a, 64 bits).
uint64_t NameHash(absl::string_view name);

// Uniform in [0, 1) from 24 random bits.
inline float ToUnitFloat(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1.0p-24f; }

// A stream of random numbers drawn one after another, for initialisers and shuffles. Two streams of
// the same seed and name are equal; `index` tells apart streams of one name (an epoch, an example).
class RandomStream {
 public:
  RandomStream(uint64_t seed, absl::string_view name, uint64_t index = 0);

  uint32_t NextBits() {
    if (used_ == there_) {
      Refill();
    }
    return Word(used_++);
  }
  float NextUnit() { return ToUnitFloat(NextBits()); }
  // Uniform in [low, high).
  float NextUniform(float low, float high) { return low + (high - low) * NextUnit(); }
  // Standard normal, by Box and Muller.
  float NextNormal();
  // Uniform in [0, bound); bound must be positive. Without modulo bias (Lemire's method).
  uint64_t NextBelow(uint64_t bound) {
    unsigned __int128 product = static_cast<unsigned __int128>(NextWide()) * bound;
    // The remainder is below the bound itself: seldom is there something to divide for.
    if (static_cast<uint64_t>(product) < bound) {
      const uint64_t threshold = -bound % bound;
      while (static_cast<uint64_t>(product) < threshold) {
        product = static_cast<unsigned __int128>(NextWide()) * bound;
      }
    }
    return static_cast<uint64_t>(product >> 64);
  }

 private:
  void Refill();
  uint64_t NextWide() {
    if (there_ - used_ >= 2) {
      const uint64_t high = Word(used_), low = Word(used_ + 1);
      used_ += 2;
      return high << 32 | low;
    }
    const uint64_t high = NextBits();
    return high << 32 | NextBits();
  }
  uint32_t Word(uint32_t place) const { return words_[place % 4 * kBlocks + place / 4]; }

  std::array<uint32_t, 2> key_;
  uint64_t index_;
  uint64_t block_ = 0;
  // Words of several blocks, [4, kBlocks]: how many there are, and how many were given out, block
  // by block.
  static constexpr uint32_t kBlocks = 16;
  uint32_t there_ = 0;
  uint32_t used_ = 0;
  std::array<uint32_t, size_t{4} * kBlocks> words_;
};

}  // namespace hone::engine
