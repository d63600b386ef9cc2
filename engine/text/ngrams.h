#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "absl/container/flat_hash_map.h"

namespace hone::engine::text {

// How often each piece of 1 to kMost symbols in a row occurs, by the length of the piece less 1. A
// shorter piece has −1 behind its symbols, which are at least 0.
template <size_t kMost>
using NgramCounts = std::array<absl::flat_hash_map<std::array<int32_t, kMost>, int64_t>, kMost>;

template <size_t kMost>
NgramCounts<kMost> CountNgrams(std::span<const int32_t> symbols) {
  NgramCounts<kMost> counts;
  for (size_t n = 1; n <= kMost; ++n) {
    for (size_t begin = 0; begin + n <= symbols.size(); ++begin) {
      std::array<int32_t, kMost> piece;
      piece.fill(-1);
      std::copy_n(symbols.begin() + static_cast<std::ptrdiff_t>(begin), n, piece.begin());
      ++counts[n - 1][piece];
    }
  }
  return counts;
}

}  // namespace hone::engine::text
