#pragma once

#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"
#include "engine/tasks/task.h"
#include "engine/train/frozen_trunk.h"

namespace hone::engine::train {

struct TrainingGraphOptions {
  bool rows = true;        // of sparse tables, where their readers allow it
  bool recompute = false;  // parts of the forward pass: layers in groups, √n of n
  // Not null: what this trunk gives is an input.
  const FrozenTrunk* trunk = nullptr;
};

// An update's loss and its gradients with respect to every trainable parameter that it moves, in
// the order of the graph's nodes. The store, where it is not null, knows the parameters by name;
// without one their ids are −1. INVALID_ARGUMENT names the layer with something to learn that the
// loss does not depend on.
absl::StatusOr<tasks::TaskGraph> BuildTraining(const tasks::TrainingConfig& config,
                                               const tasks::DataInfo& info, const tasks::Task& task,
                                               size_t update, const ParameterStore* store,
                                               const tasks::BatchShape& shape,
                                               const TrainingGraphOptions& options);

}  // namespace hone::engine::train
