#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace hone::engine::optim {

// Parameters start at multiples of so many floats, and a pass is cut at multiples of it.
constexpr int64_t kGrain = 16;

inline int64_t RoundUp(int64_t count) { return (count + kGrain - 1) / kGrain * kGrain; }

// Rows of a table that are read together, a multiple of kGrain: some hundred floats or more.
inline int64_t BlockRows(int64_t width) { return RoundUp((256 + width - 1) / width); }

// A worker's portion of a pass, floats [begin, end) of all that the pass goes over, one stretch
// after another: who makes the pass names the stretches in their order, and is told what of each is
// in the portion.
class Portion {
 public:
  // Multiples of kGrain.
  Portion(int64_t begin, int64_t end) : begin_(begin), end_(end) {}

  // Of a stretch of `floats` (a multiple of kGrain): [first, last), counted from its beginning.
  std::pair<int64_t, int64_t> Next(int64_t floats) {
    const std::pair<int64_t, int64_t> part = {std::clamp<int64_t>(begin_, 0, floats),
                                              std::clamp<int64_t>(end_, 0, floats)};
    begin_ -= floats;
    end_ -= floats;
    return part;
  }

  // Of a stretch of rows, RoundUp(rows · width) floats: the rows [first, last) of the blocks of
  // `block` rows that begin in it.
  std::pair<int64_t, int64_t> NextRows(int64_t rows, int64_t width, int64_t block = 1) {
    const auto [begin, end] = Next(RoundUp(rows * width));
    const int64_t floats = block * width;
    return {std::min((begin + floats - 1) / floats * block, rows),
            std::min((end + floats - 1) / floats * block, rows)};
  }

 private:
  int64_t begin_, end_;
};

}  // namespace hone::engine::optim
