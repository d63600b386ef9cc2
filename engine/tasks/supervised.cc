#include "engine/tasks/supervised.h"

#include "engine/base/status.h"

namespace hone::engine::tasks {

absl::StatusOr<TaskGraph> SupervisedTask::Build(const TrainingConfig& config, const DataInfo& info,
                                                int64_t batch, bool training) const {
  TaskGraph result = NewTaskGraph(config);
  Graph& graph = *result.built.graph;
  const Value features = FeaturesInput(graph, info, batch);
  HONE_ASSIGN_OR_RETURN(result.model, models::BuildModel(graph, config.model, features,
                                                         {.training = training, .logits = true}));
  const models::LayerSummary& last = result.model.layers.back();
  HONE_RETURN_IF_ERROR(CheckOutput(graph.shape(result.model.output), last, info));
  const Value target = graph.Input(kTargetsInput, targets(batch, info));
  graph.set_scope("loss");
  const Loss loss = AddLoss(graph, result.model.output, target);
  HONE_RETURN_IF_ERROR(graph.status());
  const Value correct = loss.correct.valid() ? loss.correct : graph.Constant(0);
  result.built.request.fetch = {loss.sum, loss.weight, correct};
  return result;
}

absl::StatusOr<TaskGraph> SupervisedTask::BuildLoss(const TrainingConfig& config,
                                                    const DataInfo& info, size_t,
                                                    const BatchShape& shape) const {
  return Build(config, info, shape.batch, true);
}

absl::StatusOr<TaskGraph> SupervisedTask::BuildEvaluation(const TrainingConfig& config,
                                                          const DataInfo& info,
                                                          const BatchShape& shape) const {
  HONE_ASSIGN_OR_RETURN(TaskGraph result, Build(config, info, shape.batch, false));
  result.built.request.fetch.push_back(result.model.output);
  return result;
}

absl::Status SupervisedTask::FillInputs(const data::Dataset& dataset, const Examples& examples,
                                        const TaskState*, const Inputs& inputs) const {
  return FillTargets(dataset, examples.rows, inputs);
}

}  // namespace hone::engine::tasks
