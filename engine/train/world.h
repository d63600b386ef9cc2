#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/tasks/graphs.h"

namespace hone::engine::train {

// Floats [begin, end) of a slab.
struct SlabRange {
  int64_t begin = 0;
  int64_t end = 0;
};

// Sums over a batch that belong to its gradient.
struct BatchSums {
  double loss = 0;
  double weight = 0;
  double correct = 0;
  tasks::OwnSums own = {};
};

// What the ranks must have alike to train one model, by what it is called: {"training.seed", "7"}.
using JobParts = std::vector<std::pair<std::string, std::string>>;

// What a rank tells the others before they add up their gradients; then what all have told.
struct StepReport {
  int64_t step = 0;  // number of the update, the same on all ranks
  BatchSums sums;
  bool stop = false;  // wanted after this step, by this rank; by any
  absl::Status failure;
  JobParts job = {};  // at the first meeting, which is before the first step; else empty
};

// Which of so many hosts this is.
struct Place {
  int rank = 0;
  int size = 1;

  // Checkpoints, artifacts and events are written by one of them.
  bool writes() const { return rank == 0; }
  // The examples [begin, end) of a batch of `batch` that this rank computes; there may be none.
  std::pair<int64_t, int64_t> PartOf(int64_t batch) const;
};

// The hosts ("ranks") that train one model together, seen from one of them. Each has the whole job,
// data and weights, on processors of one kind, and computes its part of every batch. They meet
// before the first step, where they compare their jobs (same_job.h), and in each update, which
// leaves the same weights on all of them; so all of them decide alike.
//
// Exchange and Reduce are collective: all ranks call them in the same order, from one thread each,
// and wait in them for each other. A rank that fails calls Exchange once more, with its failure,
// and waits for nobody. The world has ended then: those who wait in it, or come later, are told.
class World {
 public:
  virtual ~World() = default;

  virtual Place place() const = 0;

  // Makes `report` that of all ranks, as Combine does. The first failure, if there is one, with the
  // rank's name: "rank 1: …". INVALID_ARGUMENT names what is not alike in two ranks' jobs. INTERNAL
  // where ranks are at different steps. UNAVAILABLE where a rank is gone.
  virtual absl::Status Exchange(StepReport& report) = 0;

  // `gradients` are slabs, one at least, whose sum is this rank's gradient. Afterwards gradients[0]
  // holds the sum of all ranks' in `ranges`, the same bits on each of them. The other slabs, and
  // what lies between the ranges, have no meaning any more. Allreduce algorithms may cut the ranges
  // as they like.
  virtual absl::Status Reduce(std::span<float* const> gradients,
                              std::span<const SlabRange> ranges) = 0;
};

// The reports of all ranks, by rank, put together: sums in the order of ranks. Errors of Exchange.
absl::Status Combine(std::span<const StepReport> of_ranks, StepReport& all);

}  // namespace hone::engine::train
