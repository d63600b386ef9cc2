#include "engine/job/checkpoint_plan.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/team.h"
#include "engine/huggingface/checkpoint.h"
#include "engine/job/process_memory.h"
#include "engine/models/layer_table.h"
#include "engine/plan/program.h"
#include "engine/predict/checkpoint_model.h"
#include "engine/tasks/table.h"
#include "engine/tasks/text_inputs.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::job {
namespace {

// Of the text that costs are told for, where the net has places for so many.
constexpr int64_t kTokens = 128;
constexpr char kClassifier[] = "classifier.weight", kTransform[] = "transform.weight";

// Tokens that a text of the net has at most.
int64_t PlacesOf(const models::ModelDescription& model) {
  const nlohmann::json options = nlohmann::json::parse(model.preset.options);
  int64_t places = kTokens;
  for (const char* key : {"length", "window", "longest"}) {
    const int64_t count = options.value(key, int64_t{0});
    places = count > 0 ? std::min(places, count) : places;
  }
  return places;
}

bool IsLanguageModel(const models::ModelDescription& model) { return model.preset.name == "gpt"; }

// The net for one text, as an encoder with the head that the checkpoint has.
absl::StatusOr<models::BuiltModel> Build(const models::ModelDescription& model,
                                         const huggingface::Weights& weights, int64_t vocabulary,
                                         int64_t tokens, Graph& graph) {
  models::BuildOptions options = {.logits = true, .longest = tokens, .vocabulary = vocabulary};
  if (!IsLanguageModel(model) && (weights.Holds(kClassifier) || !weights.Holds(kTransform))) {
    options.outputs = weights.Holds(kClassifier) ? weights.shape(kClassifier)[0] : 1;
  }
  const std::vector<models::NamedValue> inputs =
      tasks::TextInputs(graph, {.batch = 1, .bucket = tokens});
  HONE_ASSIGN_OR_RETURN(models::BuiltModel built,
                        models::BuildModel(graph, model, inputs, options));
  HONE_RETURN_IF_ERROR(graph.status());
  return built;
}

// Layers whose parameters the checkpoint has; a head that it lacks is no part of it.
void DescribeLayers(const Graph& graph, const huggingface::Weights& weights, Plan& plan) {
  models::LayerTable table = models::TableOf(graph, 1);
  std::vector<bool> lacks(table.rows.size());
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind != Graph::Node::Kind::kParameter) {
      continue;
    }
    const std::string& name = node.parameter.name;
    const int row = models::RowOf(table.rows, name.substr(0, name.rfind('.')));
    if (row >= 0 && !weights.Holds(name)) {
      lacks[static_cast<size_t>(row)] = true;
    }
  }
  for (size_t i = 0; i < table.rows.size(); ++i) {
    if (!lacks[i]) {
      table.rows[i].trainable = false;
      plan.parameters += table.rows[i].weights + table.rows[i].biases;
      plan.forward_flops_per_example += table.rows[i].forward_flops;
      plan.layers.push_back(std::move(table.rows[i]));
    }
  }
  models::SetShares(plan.layers);
  plan.frozen_parameters = plan.parameters;
  plan.depth = table.depths.empty() ? 0 : *std::ranges::max_element(table.depths);
}

// What the process needs to answer one text, its weights lying where they are in the file.
absl::Status AddMemory(const Graph& graph, Value output, const huggingface::Weights& weights,
                       int threads, Plan& plan) {
  ParameterStore store;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      ParameterSpec spec = node.parameter;
      spec.role = spec.role == ParameterRole::kTrainable ? ParameterRole::kFrozen : spec.role;
      HONE_RETURN_IF_ERROR(store.Declare(spec).status());
    }
  }
  HONE_RETURN_IF_ERROR(weights.LendTo(store));
  store.Allocate(0);
  ProgramRequest request;
  request.graph = &graph;
  request.fetch = {output};
  HONE_RETURN_IF_ERROR(CheckTeam(threads));
  const ScopedThreads scoped(threads);
  HONE_ASSIGN_OR_RETURN(const Program program,
                        Program::Compile(request, store, {.threads = threads}));
  plan.arena_bytes = program.arena_bytes();
  plan.parameter_bytes = store.SlabBytes(0) + store.packed_bytes() + store.borrowed_bytes();
  plan.peak_memory_bytes = ResidentMemoryBytes() + plan.arena_bytes + plan.parameter_bytes;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CheckpointPlan> PlanCheckpoint(const std::string& directory, int threads,
                                              bool memory) {
  HONE_ASSIGN_OR_RETURN(const huggingface::Weights weights, huggingface::Weights::Open(directory));
  HONE_ASSIGN_OR_RETURN(const models::ModelDescription model,
                        huggingface::DescribeModel(directory));
  HONE_ASSIGN_OR_RETURN(const data::TextPreprocessing text, huggingface::ReadTokens(directory));
  CheckpointPlan result;
  result.tokens = std::min(PlacesOf(model), kTokens);
  HONE_ASSIGN_OR_RETURN(const predict::CheckpointTask task,
                        predict::TaskOfCheckpoint(directory, model, weights));
  result.task = std::string(tasks::MakeTask(task.options)->name());
  Graph graph;
  const absl::StatusOr<models::BuiltModel> built =
      Build(model, weights, text.tokenizer->size(), result.tokens, graph);
  HONE_RETURN_IF_ERROR(Annotate(built.status(), directory));
  Plan& plan = result.plan;
  plan.display_name = std::filesystem::path(directory).lexically_normal().filename().string();
  plan.batch_size = 1;
  plan.threads = threads;
  plan.precision = "f32";
  plan.checkpoint_bytes = weights.bytes();
  plan.parameter_bytes = weights.bytes();
  DescribeLayers(graph, weights, plan);
  if (memory) {
    HONE_RETURN_IF_ERROR(
        Annotate(AddMemory(graph, built->output, weights, threads, plan), directory));
  }
  return result;
}

}  // namespace hone::engine::job
