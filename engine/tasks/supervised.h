#pragma once

#include "engine/ops/loss.h"
#include "engine/tasks/one_graph_task.h"

namespace hone::engine::tasks {

// A task that learns a target for each example, a picture, a row of a table or a text: one model,
// one loss, one update. What is left to say is the targets and the loss.
class SupervisedTask : public OneGraphTask {
 public:
  absl::StatusOr<DataInfo> InspectExamples(const TrainingConfig& config) const override;
  absl::StatusOr<data::Dataset> MakeUpExamples(const TrainingConfig& config, const DataInfo& info,
                                               int64_t count, int64_t bucket) const override;
  std::vector<int64_t> buckets(const TrainingConfig& config) const override;
  data::RowTokens RowTokens(const data::Dataset& dataset) const override;
  int64_t BucketOf(const data::Dataset& dataset, std::span<const int32_t> rows,
                   const TaskState* state) const override;
  absl::Status FillInputs(const data::Dataset& dataset, const Examples& examples,
                          const TaskState* state, const Inputs& inputs) const override;

 protected:
  static constexpr char kTargetsInput[] = "targets";

  // INVALID_ARGUMENT where the model's output [batch, …] does not fit the data; names the last
  // layer.
  virtual absl::Status CheckOutput(const Shape& output, const models::LayerSummary& last,
                                   const DataInfo& info) const = 0;
  // Of the program's input "targets".
  virtual TensorType targets(int64_t batch, const DataInfo& info) const = 0;
  // Fills that input, where the program reads it.
  virtual absl::Status FillTargets(const data::Dataset& dataset, std::span<const int32_t> rows,
                                   const Inputs& inputs) const = 0;
  virtual Loss AddLoss(Graph& graph, Value output, Value targets) const = 0;

 private:
  absl::StatusOr<TaskGraph> Build(const TrainingConfig& config, const DataInfo& info,
                                  const BatchShape& shape, bool training) const final;
};

}  // namespace hone::engine::tasks
