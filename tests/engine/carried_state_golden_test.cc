// Recurrent nets that carry their state from window to window against PyTorch in float64 with a
// detached state: the loss of each of three windows, and the gradients of the last. The numbers are
// explained in tests/golden/carried_state.py.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/models/build.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/new_tokens.h"
#include "engine/tensor/token_rows.h"
#include "tests/engine/golden_step.h"

namespace hone::engine {
namespace {

using ::hone::engine::testing::ErrorOf;
using ::hone::engine::testing::FindParameter;
using ::hone::engine::testing::GoldenStep;
using ::hone::engine::testing::NameOfGolden;
using ::hone::engine::testing::Number;
using ::hone::engine::testing::Start;
using ::hone::testing::IsOk;

constexpr uint64_t kTokens = 1, kLabels = 2;  // streams of numbers
constexpr int64_t kVocabulary = 30, kWidth = 12, kUnits = 10, kLayers = 2;
constexpr int64_t kStreams = 3, kWindow = 5, kWindows = 3;
constexpr int64_t kRows = kStreams * kWindow + 1;  // one behind the last sequence

models::ModelDescription NetOf(const std::string& cell) {
  const layers::RecurrentOptions recurrent = {
      .units = kUnits, .layers = kLayers, .return_sequences = true};
  const models::LayerKind kind = cell == "lstm"  ? models::LayerKind(models::Lstm{recurrent})
                                 : cell == "gru" ? models::LayerKind(models::Gru{recurrent})
                                                 : models::LayerKind(models::SimpleRnn{recurrent});
  layers::DenseOptions dense;
  dense.units = kVocabulary;
  models::ModelDescription model;
  model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
  for (const models::LayerKind& layer :
       {models::LayerKind(layers::EmbeddingOptions{.rows = kVocabulary, .width = kWidth}), kind,
        models::LayerKind(dense)}) {
    model.layers.push_back({.name = "", .inputs = {}, .kind = layer});
  }
  return model;
}

const nlohmann::json& Golden(const std::string& cell) {
  static const auto* const kGolden = new nlohmann::json(
      nlohmann::json::parse(std::ifstream(HONE_SOURCE_DIR "/tests/golden/carried_state.json")));
  return (*kGolden)[cell];
}

absl::Status Build(const std::string& cell, GoldenStep& step) {
  Graph& graph = step.graph;
  const Value tokens = graph.Input(kTokensInput, {{kRows}, DType::kS32});
  const Value offsets = graph.Input(kOffsetsInput, {{kStreams + 1}, DType::kS32});
  const Value labels = graph.Input("labels", {{kRows}, DType::kS32});
  const Value rows = graph.Input("rows", {{kStreams}, DType::kS32});
  HONE_ASSIGN_OR_RETURN(
      const models::BuiltModel model,
      models::BuildModel(
          graph, NetOf(cell),
          {{std::string(kTokensInput), tokens}, {std::string(kOffsetsInput), offsets}},
          {.training = true,
           .logits = true,
           .carried = {.rows = rows, .count = kStreams, .role = ParameterRole::kBuffer}}));
  step.loss = CrossEntropy(graph, model.output, labels, {}).sum;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Graph::Node& node = graph.nodes()[i];
    if (node.kind == Graph::Node::Kind::kParameter &&
        node.parameter.role == ParameterRole::kTrainable) {
      step.parameters.push_back({static_cast<int32_t>(i), 0});
    }
  }
  step.gradients = Differentiate(graph, step.loss, step.parameters, {.rows = false});
  return graph.status();
}

// Fills the inputs with the numbers of a window. The streams' states lie in the rows 2, 0 and 1.
void Fill(const Program& program, int64_t window) {
  auto* const tokens = static_cast<int32_t*>(program.input(kTokensInput));
  auto* const labels = static_cast<int32_t*>(program.input("labels"));
  auto* const offsets = static_cast<int32_t*>(program.input(kOffsetsInput));
  auto* const rows = static_cast<int32_t*>(program.input("rows"));
  for (int64_t i = 0; i < kRows; ++i) {
    const bool behind = i + 1 == kRows;
    const int64_t at = window * kStreams * kWindow + i;
    tokens[i] = behind ? 0 : static_cast<int32_t>(Number(kTokens, at) % kVocabulary);
    labels[i] = behind ? -1 : static_cast<int32_t>(Number(kLabels, at) % kVocabulary);
  }
  for (int64_t s = 0; s <= kStreams; ++s) {
    offsets[s] = static_cast<int32_t>(s * kWindow);
  }
  for (int64_t s = 0; s < kStreams; ++s) {
    rows[s] = StateRow((s + 2) % kStreams, window > 0);
  }
}

class CarriedState : public ::testing::TestWithParam<std::tuple<const char*, int>> {};

TEST_P(CarriedState, HasPyTorchsLossesAndGradients) {
  const auto [cell, threads] = GetParam();
  const nlohmann::json& golden = Golden(cell);
  GoldenStep step;
  ASSERT_THAT(Build(cell, step), IsOk());
  ParameterStore store;
  for (const Graph::Node& node : step.graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      ASSERT_THAT(store.Declare(node.parameter), IsOk());
    }
  }
  store.Allocate(1);
  store.Initialize(1);
  ProgramRequest request = {
      .graph = &step.graph, .fetch = {step.loss}, .gradients = {}, .update_buffers = true};
  ASSERT_EQ(step.parameters.size(), golden["parameters"].size());
  for (size_t i = 0; i < step.parameters.size(); ++i) {
    const ParameterId id = store.Find(step.name(i)).value();
    request.gradients.emplace_back(step.gradients[i], id);
    const nlohmann::json* parameter = FindParameter(golden, step.name(i));
    ASSERT_NE(parameter, nullptr) << step.name(i);
    const std::span<float> values = store.mutable_values(id).f32();
    for (size_t k = 0; k < values.size(); ++k) {
      values[k] = Start(*parameter, static_cast<int64_t>(k));
    }
  }
  store.MarkChanged();
  absl::StatusOr<Program> program = Program::Compile(request, store, {.threads = threads});
  ASSERT_THAT(program, IsOk());
  const Buffer arena(program->arena_bytes());
  ASSERT_THAT(program->Bind(arena.as<std::byte>()), IsOk());
  store.RefreshAll();
  const ScopedThreads scoped(threads);
  for (int64_t window = 0; window < kWindows; ++window) {
    Fill(*program, window);
    ASSERT_THAT(program->Run({}), IsOk());
    const auto loss = golden["losses"][static_cast<size_t>(window)].get<double>();
    EXPECT_NEAR(program->fetched_scalar(0), loss, 1e-5 * loss) << "window " << window;
  }
  for (size_t i = 0; i < step.parameters.size(); ++i) {
    const std::span<const float> gradient = store.gradients(store.Find(step.name(i)).value(), 0);
    const nlohmann::json& of_torch = (*FindParameter(golden, step.name(i)))["gradient"];
    EXPECT_LE(ErrorOf<float>(gradient, of_torch),
              1e-5 * std::max(of_torch["norm"].get<double>(), 0.1))
        << step.name(i);
  }
}

INSTANTIATE_TEST_SUITE_P(All, CarriedState,
                         ::testing::Combine(::testing::Values("lstm", "gru", "simple_rnn"),
                                            ::testing::Values(1, 2)),
                         NameOfGolden);

}  // namespace
}  // namespace hone::engine
