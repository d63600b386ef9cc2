// The first training step of nets that translate against PyTorch in float64, sentence by sentence:
// loss and every gradient. The numbers are explained in tests/golden/first_step_of_translation.py.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/match.h"
#include "engine/base/status.h"
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
constexpr int64_t kSourceVocabulary = 50, kVocabulary = 40;
constexpr int64_t kBehind = 3;  // rows behind the last sequence, on both sides

const nlohmann::json& Golden(const std::string& net) {
  static const auto* const kGolden = new nlohmann::json(nlohmann::json::parse(
      std::ifstream(HONE_SOURCE_DIR "/tests/golden/first_step_of_translation.json")));
  return (*kGolden)[net];
}

std::vector<int32_t> OffsetsOf(const std::string& net, const char* side) {
  const auto lengths = Golden(net)[side].get<std::vector<int32_t>>();
  std::vector<int32_t> offsets(lengths.size() + 1);
  std::partial_sum(lengths.begin(), lengths.end(), offsets.begin() + 1);
  return offsets;
}

models::ModelDescription NetOf(const std::string& name) {
  models::ModelDescription model;
  model.inputs = {std::string(models::kSourceTokensInput), std::string(models::kSourceOffsetsInput),
                  std::string(kTokensInput), std::string(kOffsetsInput)};
  nlohmann::json options;
  if (absl::StartsWith(name, "transformer")) {
    options = {{"layers", 2}, {"heads", 6}, {"width", 24}, {"feed_forward", 32}, {"dropout", 0}};
    options["norm_first"] = options["tied_embeddings"] = absl::StrContains(name, "norm_first_tied");
    model.preset = {.name = "transformer_translation", .options = options.dump()};
    return model;
  }
  options = {{"units", 20}, {"embedding", 24}, {"dropout", 0}};
  if (absl::StrContains(name, "two_layers")) {
    options["layers"] = 2;
  }
  options["input_feeding"] = absl::StrContains(name, "_fed");
  options["cell"] = absl::StartsWith(name, "lstm") ? "lstm" : "gru";
  options["attention"] = absl::StrContains(name, "luong") ? "luong" : "bahdanau";
  options["bidirectional"] = absl::StrContains(name, "bidirectional");
  model.preset = {.name = "seq2seq", .options = options.dump()};
  return model;
}

absl::Status Build(const std::string& net, GoldenStep& training) {
  const std::vector<int32_t> sources = OffsetsOf(net, "sources"),
                             targets = OffsetsOf(net, "targets");
  Graph& graph = training.graph;
  std::vector<models::NamedValue> inputs;
  const auto add = [&](absl::string_view name, int64_t count) {
    inputs.push_back({std::string(name), graph.Input(name, {{count}, DType::kS32})});
  };
  const auto count = static_cast<int64_t>(sources.size());
  add(models::kSourceTokensInput, sources.back() + kBehind);
  add(models::kSourceOffsetsInput, count);
  add(kTokensInput, targets.back() + kBehind);
  add(kOffsetsInput, count);
  HONE_ASSIGN_OR_RETURN(
      const models::BuiltModel model,
      models::BuildModel(graph, NetOf(net), inputs,
                         {.training = true,
                          .logits = true,
                          .vocabulary = kVocabulary,
                          .translation = {.source_vocabulary = kSourceVocabulary}}));
  const Value labels = graph.Input("labels", {{targets.back() + kBehind}, DType::kS32});
  training.loss = CrossEntropy(graph, model.output, labels, {}).sum;
  return training.Differentiate();
}

// Number i of an input; behind the last sequence tokens 0 and labels −1. The targets' tokens follow
// those of the sources.
int32_t InputNumber(const std::string& net, const std::string& name, int64_t i) {
  const std::vector<int32_t> sources = OffsetsOf(net, "sources"),
                             targets = OffsetsOf(net, "targets");
  if (name == models::kSourceOffsetsInput || name == kOffsetsInput) {
    return (name == kOffsetsInput ? targets : sources)[static_cast<size_t>(i)];
  }
  if (name == models::kSourceTokensInput) {
    return i >= sources.back() ? 0 : static_cast<int32_t>(Number(kTokens, i) % kSourceVocabulary);
  }
  const bool behind = i >= targets.back();
  if (name == kTokensInput) {
    return behind ? 0 : static_cast<int32_t>(Number(kTokens, sources.back() + i) % kVocabulary);
  }
  return behind ? -1 : static_cast<int32_t>(Number(kLabels, i) % kVocabulary);
}

// Threads of the program, 0: the reference interpreter.
using Setting = std::tuple<const char*, int>;
class FirstStepOfTranslation : public ::testing::TestWithParam<Setting> {};

TEST_P(FirstStepOfTranslation, HasPyTorchsLossAndGradients) {
  const auto [net, threads] = GetParam();
  GoldenStep training;
  ASSERT_THAT(Build(net, training), IsOk());
  ExpectGolden(
      training, Golden(net),
      [name = std::string(net)](const std::string& input, int64_t i) {
        return InputNumber(name, input, i);
      },
      threads);
}

INSTANTIATE_TEST_SUITE_P(
    All, FirstStepOfTranslation,
    ::testing::Combine(::testing::Values("gru_bahdanau", "lstm_bahdanau_bidirectional",
                                         "gru_luong_bidirectional", "lstm_luong",
                                         "gru_luong_two_layers",
                                         "lstm_bahdanau_bidirectional_two_layers",
                                         "gru_luong_bidirectional_fed", "lstm_luong_fed",
                                         "transformer", "transformer_norm_first_tied"),
                       ::testing::Values(0, 1, 2)),
    NameOfGolden);

}  // namespace
}  // namespace hone::engine
