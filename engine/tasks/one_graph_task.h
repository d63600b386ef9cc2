#pragma once

#include <utility>

#include "engine/base/status.h"
#include "engine/tasks/task.h"

namespace hone::engine::tasks {

// A task with one update, whose loss and evaluation are one graph: that of the evaluation computes
// without what is for training alone, and fetches the model's output, too.
class OneGraphTask : public Task {
 public:
  absl::StatusOr<TaskGraph> BuildLoss(const TrainingConfig& config, const DataInfo& info, size_t,
                                      const BatchShape& shape) const final {
    return Build(config, info, shape, /*training=*/true);
  }
  absl::StatusOr<TaskGraph> BuildEvaluation(const TrainingConfig& config, const DataInfo& info,
                                            const BatchShape& shape) const final {
    HONE_ASSIGN_OR_RETURN(TaskGraph result, Build(config, info, shape, /*training=*/false));
    result.built.request.fetch.push_back(result.model.output);
    return result;
  }

 protected:
  // Model and loss for a batch; fetches kFetchLossSum to kFetchCorrect. Errors of BuildLoss.
  virtual absl::StatusOr<TaskGraph> Build(const TrainingConfig& config, const DataInfo& info,
                                          const BatchShape& shape, bool training) const = 0;
};

}  // namespace hone::engine::tasks
