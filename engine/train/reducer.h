#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"

namespace hone::engine::train {

// Sums over a batch that belong to its gradient.
struct BatchSums {
  double loss = 0;
  double weight = 0;
  double correct = 0;
};

// Stands between the backward pass and the optimizer. The shards of this process need none: the
// optimizer adds them up as it reads them. Training on several hosts gives one that adds the
// gradients and the sums of all of them, the same on each.
class Reducer {
 public:
  virtual ~Reducer() = default;

  // Called by one thread when all shards are done. `gradients` are the shards' slabs of `size`
  // floats each, whose sum is this host's gradient; afterwards their sum is everybody's, as are the
  // sums of the batch.
  virtual absl::Status Reduce(std::span<float* const> gradients, int64_t size, BatchSums& sums) = 0;
};

}  // namespace hone::engine::train
