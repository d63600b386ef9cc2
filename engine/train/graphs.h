#pragma once

#include "engine/models/build.h"
#include "engine/plan/replicas.h"
#include "engine/train/config.h"
#include "engine/train/data_info.h"
#include "engine/train/task.h"

namespace hone::engine::train {

inline constexpr char kFeaturesInput[] = "features";
inline constexpr char kTargetsInput[] = "targets";

// The input "features" [batch, …], pictures made numbers.
Value FeaturesInput(Graph& graph, const DataInfo& info, int64_t batch);

// A graph with what was found on the way.
struct TaskGraph {
  BuiltGraph built;
  models::BuiltModel model;
};

// The loss and its gradients with respect to every trainable parameter: fetches the loss sum, the
// weight and the number predicted right. The store, where it is not null, knows the parameters by
// name.
absl::StatusOr<TaskGraph> BuildTraining(const TrainingConfig& config, const DataInfo& info,
                                        const Task& task, const ParameterStore* store,
                                        int64_t batch);
// Forward only: fetches the same and then the model's output.
absl::StatusOr<TaskGraph> BuildEvaluation(const TrainingConfig& config, const DataInfo& info,
                                          const Task& task, int64_t batch);

}  // namespace hone::engine::train
