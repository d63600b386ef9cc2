#pragma once

#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"
#include "engine/tasks/task.h"

namespace hone::engine::train {

// An update's loss and its gradients with respect to every trainable parameter that it moves. The
// store, where it is not null, knows the parameters by name. INVALID_ARGUMENT names the layer with
// something to learn that the loss does not depend on.
absl::StatusOr<tasks::TaskGraph> BuildTraining(const tasks::TrainingConfig& config,
                                               const tasks::DataInfo& info, const tasks::Task& task,
                                               size_t update, const ParameterStore* store,
                                               const tasks::BatchShape& shape);

}  // namespace hone::engine::train
