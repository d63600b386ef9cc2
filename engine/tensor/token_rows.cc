#include "engine/tensor/token_rows.h"

#include <algorithm>
#include <bit>

namespace hone::engine {

int64_t PlannedRows(int64_t tokens) {
  constexpr int64_t kLeast = 8, kPartsOfOctave = 32;
  const auto octave = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(tokens)));
  const int64_t grain = std::max(kLeast, octave / kPartsOfOctave);
  return std::max<int64_t>(1, (tokens + grain - 1) / grain) * grain;
}

bool AreOffsets(std::span<const int32_t> offsets, int64_t rows) {
  return !offsets.empty() && offsets.front() == 0 && std::ranges::is_sorted(offsets) &&
         offsets.back() <= rows;
}

}  // namespace hone::engine
