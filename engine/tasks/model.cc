#include "engine/tasks/model.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::engine::tasks {

absl::StatusOr<TaskGraph> TaskModel::BuildPrediction(const models::ModelDescription& model,
                                                     const DataInfo& info,
                                                     const BatchShape& shape) const {
  TaskGraph result;
  result.built.graph = std::make_unique<Graph>();
  Graph& graph = *result.built.graph;
  HONE_ASSIGN_OR_RETURN(
      result.model,
      BuildModelOfExamples(graph, model, info, shape,
                           {.training = false, .logits = true, .outputs = outputs(info)}));
  result.built.request = {.graph = &graph, .fetch = {result.model.output}, .gradients = {}};
  return result;
}

absl::StatusOr<TaskGraph> TaskModel::BuildDecoding(const models::ModelDescription&, const DataInfo&,
                                                   const DecodingShape&) const {
  return absl::UnimplementedError("the task does not go on with texts");
}

absl::StatusOr<TaskGraph> TaskModel::BuildAnswering(const models::ModelDescription&,
                                                    const DataInfo&,
                                                    const ForwardSpec& spec) const {
  return absl::InternalError(absl::StrCat("the task has no program ", spec.name));
}

absl::StatusOr<std::unique_ptr<Answerer>> TaskModel::NewAnswerer(
    const data::Preprocessing& preprocessing) const {
  return std::make_unique<FeaturesAnswerer>(preprocessing);
}

}  // namespace hone::engine::tasks
