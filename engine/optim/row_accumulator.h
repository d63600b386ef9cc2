#pragma once

#include <vector>

#include "engine/optim/optimizer.h"

namespace hone::engine::optim {

// A table's gradient added up over batches: a slab of the table's size, of which only the rows that
// came are ever touched, and which they are. Not thread safe.
class RowAccumulator {
 public:
  RowAccumulator(int64_t rows, int64_t width);

  void Add(const RowGradient& more);
  // The sum so far; good until the next call of another function.
  RowGradient Sum();
  void Clear();

 private:
  int64_t width_;
  Buffer sums_;  // zero but for the rows that came
  std::vector<bool> came_;
  std::vector<int32_t> rows_;  // ascending after Sum
};

}  // namespace hone::engine::optim
