#pragma once

#include "engine/train/config.h"
#include "engine/train/data_info.h"
#include "engine/train/task.h"

namespace hone::engine::train {

inline constexpr char kFeaturesInput[] = "features";

// The input "features" [batch, …], pictures made numbers.
Value FeaturesInput(Graph& graph, const DataInfo& info, int64_t batch);

// An update's loss and its gradients with respect to every trainable parameter that it moves. The
// store, where it is not null, knows the parameters by name. INVALID_ARGUMENT names the layer with
// something to learn that the loss does not depend on.
absl::StatusOr<TaskGraph> BuildTraining(const TrainingConfig& config, const DataInfo& info,
                                        const Task& task, size_t update,
                                        const ParameterStore* store, const BatchShape& shape);

}  // namespace hone::engine::train
