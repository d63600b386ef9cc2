#include "engine/tasks/graphs.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/ops/normalize.h"
#include "engine/tasks/text_inputs.h"

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
  result.built.graph->set_embedding_noise(config.neftune_alpha);
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

absl::StatusOr<models::BuiltModel> BuildModelOfExamples(Graph& graph,
                                                        const models::ModelDescription& model,
                                                        const DataInfo& info,
                                                        const BatchShape& shape,
                                                        const models::BuildOptions& options) {
  if (!info.preprocessing.text.has_value()) {
    return models::BuildModel(graph, model, FeaturesInput(graph, info, shape.batch), options);
  }
  HONE_ASSIGN_OR_RETURN(const models::ModelDescription sized,
                        WithVocabulary(model, info.preprocessing));
  models::BuildOptions of_texts = options;
  of_texts.vocabulary = info.preprocessing.text->tokenizer->size();
  of_texts.longest = info.longest;
  of_texts.shortened_by = kMaxTokensField;
  HONE_ASSIGN_OR_RETURN(
      models::BuiltModel built,
      models::BuildModel(graph, sized, TextInputs(graph, shape, info.preprocessing.text->pairs),
                         of_texts));
  if (graph.shape(built.output)[0] != shape.batch) {
    return absl::InvalidArgumentError(
        absl::StrCat("model.layers (", built.layers.back().name,
                     "): gives numbers for each token; one row must be made of each text, as "
                     "sequence_pool or a recurrent layer does"));
  }
  return built;
}

absl::StatusOr<TaskGraph> TaskGraphs::BuildForward(const TrainingConfig&, const DataInfo&,
                                                   const ForwardSpec& spec) const {
  return absl::InternalError(absl::StrCat("the task has no program ", spec.name));
}

}  // namespace hone::engine::tasks
