#include "engine/train/training_graph.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::engine::train {
absl::StatusOr<tasks::TaskGraph> BuildTraining(const tasks::TrainingConfig& config,
                                               const tasks::DataInfo& info, const tasks::Task& task,
                                               size_t update, const ParameterStore* store,
                                               const tasks::BatchShape& shape) {
  HONE_ASSIGN_OR_RETURN(tasks::TaskGraph result, task.BuildLoss(config, info, update, shape));
  const std::string moved = task.updates()[update].parameters;
  Graph& graph = *result.built.graph;
  HONE_RETURN_IF_ERROR(graph.status());
  tasks::FreezeByRules(config.parameter_rules, graph);
  models::CompleteLayers(graph, shape.batch, result.model);
  std::vector<Value> parameters;
  const auto count = static_cast<int32_t>(graph.nodes().size());
  for (int32_t i = 0; i < count; ++i) {
    const Graph::Node& node = graph.node(i);
    if (node.kind == Graph::Node::Kind::kParameter &&
        node.parameter.role == ParameterRole::kTrainable &&
        absl::StartsWith(node.parameter.name, moved)) {
      parameters.push_back({i, 0});
    }
  }
  const std::vector<Value> gradients =
      Differentiate(graph, result.built.request.fetch[0], parameters);
  HONE_RETURN_IF_ERROR(graph.status());
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Graph::Node& node = graph.node(parameters[i].node);
    if (!gradients[i].valid()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "model.layers (", node.name, "): the loss does not depend on ", node.parameter.name,
          ", it would never learn; let a later layer read this one, freeze it or leave it out"));
    }
    if (store != nullptr) {
      HONE_ASSIGN_OR_RETURN(const ParameterId id, store->Find(node.parameter.name));
      result.built.request.gradients.emplace_back(gradients[i], id);
    }
  }
  result.built.request.update_buffers = !graph.updates().empty();
  return result;
}

}  // namespace hone::engine::train
