// The first training step of the tasks text_embedding (of pairs and of triples), token_tagging and
// multi_label_classification against PyTorch in float64: loss and every gradient. The numbers are
// explained in tests/golden/first_step_of_heads.py.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/tasks/table.h"
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
constexpr int64_t kVocabulary = 50, kWidth = 24, kClasses = 5;
constexpr int64_t kBehind = 3;  // rows behind the last text

const nlohmann::json& Golden(const std::string& task) {
  static const auto* const kGolden = new nlohmann::json(nlohmann::json::parse(
      std::ifstream(HONE_SOURCE_DIR "/tests/golden/first_step_of_heads.json")));
  return (*kGolden)[task];
}

bool MakesVectors(const std::string& task) { return absl::StartsWith(task, "text_embedding"); }
bool IsOfTriples(const std::string& task) { return task == "text_embedding_of_triples"; }

std::vector<int32_t> OffsetsOf(const nlohmann::json& golden) {
  const auto lengths = golden["lengths"].get<std::vector<int32_t>>();
  std::vector<int32_t> offsets(lengths.size() + 1);
  std::partial_sum(lengths.begin(), lengths.end(), offsets.begin() + 1);
  return offsets;
}

models::LayerDescription Of(models::LayerKind kind) {
  return {.name = "", .inputs = {}, .kind = std::move(kind)};
}

models::LayerDescription Dense(int64_t units) {
  layers::DenseOptions dense;
  dense.units = units;
  return Of(dense);
}

tasks::TrainingConfig ConfigOf(const std::string& task) {
  tasks::TrainingConfig config;
  models::ModelDescription model;
  model.inputs = {std::string(kTokensInput), std::string(kOffsetsInput)};
  model.layers = {Of(layers::EmbeddingOptions{.rows = kVocabulary, .width = kWidth})};
  if (MakesVectors(task)) {
    config.task = tasks::TextEmbeddingOptions();
    model.layers.push_back(Dense(kWidth));
  } else if (task == "token_tagging") {
    config.task = tasks::TokenTaggingOptions();
    model.layers.push_back(Dense(kClasses));
  } else {
    config.task = tasks::MultiLabelClassificationOptions();
    model.layers.push_back(Of(layers::SequencePoolOptions()));
    model.layers.push_back(Dense(kClasses));
  }
  config.model = models::WithNames(model).value();
  return config;
}

// Texts of as many tokens as the golden nets have, with five classes.
tasks::DataInfo InfoOf(const std::string& task) {
  std::string words;
  for (int i = 0; i < kVocabulary - 3; ++i) {
    absl::StrAppend(&words, "w", i, " ");
  }
  tasks::DataInfo info;
  info.triples = IsOfTriples(task);
  info.preprocessing.input = data::Preprocessing::Input::kText;
  info.preprocessing.text = data::TextPreprocessing{
      .tokenizer = text::TrainTokenizer(text::WordTokens(),
                                        {1, [&](int64_t) { return absl::string_view(words); }})
                       .value()};
  std::vector<std::string>& names = task == "multi_label_classification"
                                        ? info.preprocessing.target_names
                                        : info.preprocessing.class_names;
  for (int64_t c = 0; c < kClasses; ++c) {
    names.push_back(absl::StrCat("class ", c));
  }
  return info;
}

absl::Status Build(const std::string& task, GoldenStep& training) {
  const std::vector<int32_t> offsets = OffsetsOf(Golden(task));
  const auto texts = static_cast<int64_t>(offsets.size()) - 1;
  const tasks::TrainingConfig config = ConfigOf(task);
  const int64_t texts_of_each = IsOfTriples(task) ? 3 : MakesVectors(task) ? 2 : 1;
  const tasks::BatchShape shape = {.batch = texts / texts_of_each,
                                   .bucket = offsets.back() + kBehind};
  HONE_ASSIGN_OR_RETURN(tasks::TaskGraph graph,
                        tasks::MakeTask(config.task)->BuildLoss(config, InfoOf(task), 0, shape));
  training.loss = graph.built.request.fetch[tasks::kFetchLossSum];
  training.graph = std::move(*graph.built.graph);
  return training.Differentiate();
}

// Number i of an input; behind the last text tokens 0 and tags −1.
int32_t InputNumber(const std::string& task, const std::string& input,
                    const std::vector<int32_t>& offsets, int64_t i) {
  if (input == kOffsetsInput) {
    return offsets[static_cast<size_t>(i)];
  }
  const bool behind = i >= offsets.back();
  if (input == kTokensInput) {
    return behind ? 0 : static_cast<int32_t>(Number(kTokens, i) % kVocabulary);
  }
  if (MakesVectors(task)) {
    return static_cast<int32_t>(i);
  }
  if (task == "multi_label_classification") {
    return static_cast<int32_t>(Number(kLabels, i) % 2);
  }
  const auto tag = static_cast<int32_t>(Number(kLabels, i) % (kClasses + 2));
  return behind || tag >= kClasses ? -1 : tag;
}

// Threads of the program, 0: the reference interpreter.
using Setting = std::tuple<const char*, int>;
class FirstStepOfHeads : public ::testing::TestWithParam<Setting> {};

TEST_P(FirstStepOfHeads, HasPyTorchsLossAndGradients) {
  const std::string task = std::get<0>(GetParam());
  const int threads = std::get<1>(GetParam());
  GoldenStep training;
  ASSERT_THAT(Build(task, training), IsOk());
  const std::vector<int32_t> offsets = OffsetsOf(Golden(task));
  ExpectGolden(
      training, Golden(task),
      [&](const std::string& input, int64_t i) { return InputNumber(task, input, offsets, i); },
      threads);
}

INSTANTIATE_TEST_SUITE_P(
    All, FirstStepOfHeads,
    ::testing::Combine(::testing::Values("text_embedding", "text_embedding_of_triples",
                                         "token_tagging", "multi_label_classification"),
                       ::testing::Values(0, 1, 2)),
    NameOfGolden);

}  // namespace
}  // namespace hone::engine
