#include "engine/train/training_graph.h"

#include <cmath>
#include <functional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::engine::train {
namespace {

// Layers one after another, about √n of n in each segment, so that as much is kept between the
// segments as is made again in one: Chen, Xu, Zhang, Guestrin, "Training Deep Nets with Sublinear
// Memory Cost", 2016. What is fetched lives to the end anyway, and is in none.
std::function<int(const Graph::Node&)> Segments(const Graph& graph,
                                                const std::vector<Value>& fetched) {
  std::vector<std::string> layers;
  absl::flat_hash_map<std::string, int> segment;
  for (const Value value : fetched) {
    segment[graph.node(value.node).name] = -1;
  }
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kOp && segment.try_emplace(node.name, 0).second) {
      layers.push_back(node.name);
    }
  }
  const auto together = static_cast<size_t>(std::ceil(std::sqrt(layers.size())));
  for (size_t i = 0; i < layers.size(); ++i) {
    segment[layers[i]] = static_cast<int>(i / together);
  }
  return [segment](const Graph::Node& node) { return segment.at(node.name); };
}

}  // namespace

absl::StatusOr<tasks::TaskGraph> BuildTraining(const tasks::TrainingConfig& config,
                                               const tasks::DataInfo& info, const tasks::Task& task,
                                               size_t update, const ParameterStore* store,
                                               const tasks::BatchShape& shape,
                                               const TrainingGraphOptions& options) {
  HONE_ASSIGN_OR_RETURN(tasks::TaskGraph result, task.BuildLoss(config, info, update, shape));
  const std::string moved = task.updates()[update].parameters;
  Graph& graph = *result.built.graph;
  HONE_RETURN_IF_ERROR(graph.status());
  tasks::FreezeByRules(config.parameter_rules, graph);
  models::CompleteLayers(graph, shape.batch, result.model);
  if (options.trunk != nullptr) {
    graph.MakeInput({options.trunk->node, 0}, kTrunkInput);
  }
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
  GradientOptions how = {.rows = options.rows};
  if (options.recompute) {
    how.segment_of = Segments(graph, result.built.request.fetch);
  }
  const std::vector<Value> gradients =
      Differentiate(graph, result.built.request.fetch[0], parameters, how);
  HONE_RETURN_IF_ERROR(graph.status());
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Graph::Node& node = graph.node(parameters[i].node);
    if (!gradients[i].valid()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "model.layers (", node.name, "): the loss does not depend on ", node.parameter.name,
          ", so it would never learn; let a later layer read this one, freeze it or leave it out"));
    }
    ParameterId id = -1;
    if (store != nullptr) {
      HONE_ASSIGN_OR_RETURN(id, store->Find(node.parameter.name));
    }
    result.built.request.gradients.emplace_back(gradients[i], id);
  }
  result.built.request.update_buffers = !graph.updates().empty();
  return result;
}

}  // namespace hone::engine::train
