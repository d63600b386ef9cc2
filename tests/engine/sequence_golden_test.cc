// The first training step of nets over rows of tokens against PyTorch in float64, which pads, packs
// or splits the same sequences: loss and every gradient. The numbers are explained in
// tests/golden/first_step_of_sequences.py.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/models/build.h"
#include "engine/ops/cross_entropy.h"
#include "engine/tensor/token_rows.h"
#include "tests/engine/golden_step.h"

namespace hone::engine {
namespace {

using ::hone::engine::testing::ExpectGolden;
using ::hone::engine::testing::GoldenStep;
using ::hone::engine::testing::NameOfGolden;
using ::hone::engine::testing::Number;
using ::hone::testing::IsOk;

constexpr uint64_t kTokens = 1, kLabels = 2;  // streams of numbers
constexpr int64_t kVocabulary = 50, kWidth = 24, kUnits = 20, kClasses = 3;
constexpr int64_t kHeads = 4;
constexpr int64_t kBehind = 3;  // rows behind the last sequence

using models::LayerDescription;

LayerDescription Of(models::LayerKind kind, std::vector<std::string> inputs = {}) {
  return {.name = "", .inputs = std::move(inputs), .kind = std::move(kind)};
}

template <typename Layer>
Layer Recurrent(int64_t layers = 1, bool bidirectional = false, bool return_sequences = false) {
  return {{.units = kUnits,
           .layers = layers,
           .bidirectional = bidirectional,
           .return_sequences = return_sequences}};
}

LayerDescription Dense(int64_t units, ActivationKind activation = ActivationKind::kNone,
                       std::vector<std::string> inputs = {}) {
  layers::DenseOptions dense;
  dense.units = units;
  dense.activation = activation;
  return Of(dense, std::move(inputs));
}

// Learned positions, the norms first.
std::vector<LayerDescription> Gpt(int64_t longest) {
  std::vector<LayerDescription> net = {Of(layers::PositionsOptions{.length = longest})};
  std::string stream = "positions_1";
  for (const int i : {1, 3}) {
    const auto sum_of = [&](int number) { return "add_" + std::to_string(number); };
    net.push_back(Of(models::LayerNorm{}, {stream}));
    net.push_back(Of(layers::AttentionOptions{.heads = kHeads, .causal = true}));
    net.push_back(Of(models::Add{}, {stream, "attention_" + std::to_string((i + 1) / 2)}));
    net.push_back(Of(models::LayerNorm{}));
    net.push_back(Dense(4 * kWidth, ActivationKind::kGelu));
    net.push_back(Dense(kWidth));
    net.push_back(Of(models::Add{}, {sum_of(i), "dense_" + std::to_string(i + 1)}));
    stream = sum_of(i + 1);
  }
  net.push_back(Of(models::LayerNorm{}));
  return net;
}

// Sinusoidal positions, the norms behind.
std::vector<LayerDescription> Encoder() {
  return {
      Of(layers::PositionsOptions{.kind = layers::PositionsOptions::Kind::kSinusoidal}),
      Of(layers::AttentionOptions{.heads = kHeads}),
      Of(models::Add{}, {"positions_1", "attention_1"}),
      Of(models::LayerNorm{}),
      Dense(4 * kWidth, ActivationKind::kRelu),
      Dense(kWidth),
      Of(models::Add{}, {"layer_norm_1", "dense_2"}),
      Of(models::LayerNorm{}),
      Of(layers::SequencePoolOptions{}),
  };
}

// Grouped heads with rotary positions and a window.
std::vector<LayerDescription> Rotary() {
  return {
      Of(models::RmsNorm{}),
      Of(layers::AttentionOptions{
          .heads = kHeads, .kv_heads = 2, .causal = true, .window = 3, .rotary = true}),
      Of(models::Add{}, {"embedding_1", "attention_1"}),
      Of(models::RmsNorm{}),
  };
}

// What stands between the embedding and the last layer.
std::vector<LayerDescription> Middle(const std::string& net, int64_t longest) {
  if (net == "lstm") {
    return {Of(Recurrent<models::Lstm>())};
  }
  if (net == "gru") {
    return {Of(Recurrent<models::Gru>())};
  }
  if (net == "simple_rnn") {
    return {Of(Recurrent<models::SimpleRnn>())};
  }
  if (net == "bidirectional") {
    return {Of(Recurrent<models::Lstm>(2, true, true)), Of(Recurrent<models::Gru>(1, true)),
            Of(layers::SequencePoolOptions{}, {"lstm_1"}),
            Of(models::Concat{}, {"gru_1", "sequence_pool_1"})};
  }
  return net == "gpt" ? Gpt(longest) : net == "encoder" ? Encoder() : Rotary();
}

models::ModelDescription NetOf(const std::string& name, int64_t longest) {
  models::ModelDescription model;
  model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
  if (name == "gpt_preset") {
    const nlohmann::json options = {
        {"layers", 2}, {"heads", kHeads}, {"width", kWidth}, {"window", longest}};
    model.preset = {.name = "gpt", .options = options.dump()};
    return model;
  }
  if (name == "encoder_preset" || name == "masked_preset") {
    nlohmann::json options = {{"layers", 2}, {"heads", kHeads}, {"width", kWidth}, {"dropout", 0}};
    if (name == "encoder_preset") {
      options.update({{"hidden", 3 * kWidth},
                      {"length", longest},
                      {"norm", "post"},
                      {"embedding_norm", true},
                      {"epsilon", 1e-6},
                      {"pooling", "first"},
                      {"pooler", true}});
    } else {
      options["positions"] = "sinusoidal";
    }
    model.preset = {.name = "transformer_encoder", .options = options.dump()};
    return model;
  }
  model.layers = Middle(name, longest);
  model.layers.insert(model.layers.begin(),
                      Of(layers::EmbeddingOptions{.rows = kVocabulary, .width = kWidth}));
  model.layers.push_back(Dense(kClasses));
  return model;
}

const nlohmann::json& Golden(const std::string& net) {
  static const auto* const kGolden = new nlohmann::json(nlohmann::json::parse(
      std::ifstream(HONE_SOURCE_DIR "/tests/golden/first_step_of_sequences.json")));
  return (*kGolden)[net];
}

std::vector<int32_t> OffsetsOf(const nlohmann::json& golden) {
  const auto lengths = golden["lengths"].get<std::vector<int32_t>>();
  std::vector<int32_t> offsets(lengths.size() + 1);
  std::partial_sum(lengths.begin(), lengths.end(), offsets.begin() + 1);
  return offsets;
}

int64_t Longest(const std::vector<int32_t>& offsets) {
  int64_t longest = 0;
  for (size_t i = 1; i < offsets.size(); ++i) {
    longest = std::max<int64_t>(longest, offsets[i] - offsets[i - 1]);
  }
  return longest;
}

absl::Status Build(const std::string& net, GoldenStep& training) {
  const std::vector<int32_t> offsets = OffsetsOf(Golden(net));
  const auto batch = static_cast<int64_t>(offsets.size()) - 1;
  Graph& graph = training.graph;
  const Value tokens = graph.Input(kTokensInput, {{offsets.back() + kBehind}, DType::kS32});
  const Value begins = graph.Input(kOffsetsInput, {{batch + 1}, DType::kS32});
  const bool of_tokens = Golden(net)["of_tokens"].get<bool>();
  const Value labels =
      graph.Input("labels", {{of_tokens ? graph.shape(tokens)[0] : batch}, DType::kS32});
  HONE_ASSIGN_OR_RETURN(const models::BuiltModel model,
                        models::BuildModel(graph, NetOf(net, Longest(offsets)),
                                           {{std::string(kTokensInput), tokens},
                                            {std::string(kOffsetsInput), begins}},
                                           {.training = true,
                                            .logits = true,
                                            .vocabulary = kVocabulary,
                                            .outputs = of_tokens ? 0 : kClasses}));
  training.loss = CrossEntropy(graph, model.output, labels, {}).sum;
  return training.Differentiate();
}

// Number i of an input; behind the last sequence tokens 0 and labels −1.
int32_t InputNumber(const std::string& name, const std::vector<int32_t>& offsets, int64_t i) {
  if (name == kOffsetsInput) {
    return offsets[static_cast<size_t>(i)];
  }
  const bool behind = i >= offsets.back();
  if (name == kTokensInput) {
    return behind ? 0 : static_cast<int32_t>(Number(kTokens, i) % kVocabulary);
  }
  return behind ? -1 : static_cast<int32_t>(Number(kLabels, i) % kClasses);
}

// Threads of the program, 0: the reference interpreter.
using Setting = std::tuple<const char*, int>;
class FirstStepOfSequences : public ::testing::TestWithParam<Setting> {};

TEST_P(FirstStepOfSequences, HasPyTorchsLossAndGradients) {
  const auto [net, threads] = GetParam();
  GoldenStep training;
  ASSERT_THAT(Build(net, training), IsOk());
  const std::vector<int32_t> offsets = OffsetsOf(Golden(net));
  ExpectGolden(
      training, Golden(net),
      [&](const std::string& input, int64_t i) { return InputNumber(input, offsets, i); }, threads);
}

INSTANTIATE_TEST_SUITE_P(All, FirstStepOfSequences,
                         ::testing::Combine(::testing::Values("lstm", "gru", "simple_rnn",
                                                              "bidirectional", "gpt", "gpt_preset",
                                                              "encoder", "encoder_preset",
                                                              "masked_preset", "rotary"),
                                            ::testing::Values(0, 1, 2)),
                         NameOfGolden);

}  // namespace
}  // namespace hone::engine
