#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"
#include "engine/tasks/task.h"

namespace hone::engine::train {

// The input of a program that reads what a trunk gives, f32 [batch, …], instead of computing it.
inline constexpr char kTrunkInput[] = "trunk_features";

// The part of a net that gives each example the same numbers in every epoch: the frozen layers in
// front. It is run once over all examples, and what it gives is kept (trunk_features.h).
struct FrozenTrunk {
  int32_t node = -1;    // whose first output it gives, of the graphs of the loss and the evaluation
  std::string layer;    // that gives it
  int64_t numbers = 0;  // for one example
  int64_t examples = 0;   // of the training and validation parts
  int64_t bytes() const;  // of all of these
};

// More than this is not kept: the trunk is run in every epoch.
inline constexpr int64_t kMostTrunkBytes = int64_t{4} << 30;

// The trunk of a job that one process trains; none where the rule does not let its features be
// kept. The rule, which knows nothing of the machine:
//
// - The job wants it (TrainingConfig::cache_frozen) and goes over its examples more than once.
// - Examples are pictures or rows of a table, which the job does not change at random. The task has
//   one update and no programs of its own.
// - The trunk is computed of the examples' features, frozen weights, constants, and buffers that
//   the training does not change, by ops that treat each example by itself. So it has no dropout
//   and no normalisation by a batch's statistics. What is frozen until a step is not frozen.
// - All that the loss and the evaluation know of the features goes through its last value. Products
//   and dropout alone read that: they want it row major, or bring it into their own layout and
//   precision, wherever it comes from, so that losses and weights keep their bits.
// - What it gives for all examples is at most kMostTrunkBytes.
//
// Where several values are such, it is the last.
//
// Features are those of a whole batch. A dense layer's product of few rows may be another kernel's
// than that of many (kernels/README.md), and with AVX2 oneDNN's kernel for the last rows of a
// thread is another one where they are no whole block. Then the last bits of an example's features
// depend on its batch, and are not those that a batch of another order would compute.
//
// Errors of the task's graphs.
absl::StatusOr<std::optional<FrozenTrunk>> FindTrunk(const tasks::TrainingConfig& config,
                                                     const tasks::DataInfo& info,
                                                     const tasks::Task& task);

}  // namespace hone::engine::train
