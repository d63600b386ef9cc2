#include "engine/tasks/graphs.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/ops/normalize.h"

namespace hone::engine::tasks {
namespace {

Shape WithBatch(int64_t batch, const Shape& example) {
  std::vector<int64_t> dims = {batch};
  dims.insert(dims.end(), example.dims().begin(), example.dims().end());
  return Shape(std::move(dims));
}

}  // namespace

TaskGraph NewTaskGraph(const TrainingConfig& config) {
  TaskGraph result;
  result.built.graph = std::make_unique<Graph>();
  result.built.request.graph = result.built.graph.get();
  FreezeByRules(config.parameter_rules, *result.built.graph);
  return result;
}

void FreezeByRules(const std::vector<ParameterRule>& rules, Graph& graph) {
  if (!rules.empty()) {
    graph.Freeze([rules](absl::string_view name) { return Freezes(rules, name); });
  }
}

Value FeaturesInput(Graph& graph, const DataInfo& info, int64_t batch) {
  const Graph::Scope scope(graph, "input");
  const Value features =
      graph.Input(kFeaturesInput, {WithBatch(batch, info.features.shape), info.features.dtype});
  if (info.features.dtype != DType::kU8) {
    return features;
  }
  return NormalizePixels(graph, features,
                         {.scale = info.preprocessing.pixel_scale,
                          .mean = info.preprocessing.pixel_mean,
                          .std = info.preprocessing.pixel_std});
}

absl::StatusOr<TaskGraph> TaskGraphs::BuildForward(const TrainingConfig&, const DataInfo&,
                                                   const ForwardSpec& spec) const {
  return absl::InternalError(absl::StrCat("the task has no program ", spec.name));
}

}  // namespace hone::engine::tasks
