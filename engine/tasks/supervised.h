#pragma once

#include "engine/ops/loss.h"
#include "engine/tasks/task.h"

namespace hone::engine::tasks {

// A task that learns a target for each example: one model, one loss, one update. What is left to
// say is the targets and the loss.
class SupervisedTask : public Task {
 public:
  absl::StatusOr<TaskGraph> BuildLoss(const TrainingConfig& config, const DataInfo& info,
                                      size_t update, const BatchShape& shape) const final;
  absl::StatusOr<TaskGraph> BuildEvaluation(const TrainingConfig& config, const DataInfo& info,
                                            const BatchShape& shape) const final;
  void FillInputs(const data::Dataset& dataset, const Examples& examples,
                         const TaskState* state, const Program& program) const override;

 protected:
  // INVALID_ARGUMENT where the model's output [batch, …] does not fit the data; names the last
  // layer.
  virtual absl::Status CheckOutput(const Shape& output, const models::LayerSummary& last,
                                   const DataInfo& info) const = 0;
  // Of the program's input "targets".
  virtual TensorType targets(int64_t batch, const DataInfo& info) const = 0;
  virtual void FillTargets(const data::Dataset& dataset, std::span<const int32_t> rows,
                           void* targets) const = 0;
  virtual Loss AddLoss(Graph& graph, Value output, Value targets) const = 0;

 private:
  absl::StatusOr<TaskGraph> Build(const TrainingConfig& config, const DataInfo& info, int64_t batch,
                                  bool training) const;
};

}  // namespace hone::engine::tasks
