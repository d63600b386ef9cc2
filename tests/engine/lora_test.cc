#include "engine/models/lora.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "engine/base/status.h"
#include "engine/layers/embedding.h"
#include "engine/layers/product.h"
#include "engine/models/build.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/embedding_noise.h"
#include "engine/tasks/model_file.h"
#include "tests/engine/golden_step.h"

// Low-rank adapters beside the weights of products.
namespace hone::engine {
namespace {

using ::hone::engine::testing::ExpectGolden;
using ::hone::engine::testing::GoldenStep;
using ::hone::engine::testing::Number;
using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

constexpr int64_t kRows = 6, kWidth = 10, kHidden = 14, kClasses = 5;
constexpr uint64_t kPixels = 1, kLabels = 2;  // streams of numbers

const nlohmann::json& Golden() {
  static const auto* const kGolden = new nlohmann::json(
      nlohmann::json::parse(std::ifstream(HONE_SOURCE_DIR "/tests/golden/lora_step.json")));
  return *kGolden;
}

// The adapters of lora_step.py.
models::LoraDescription AdaptersOf(bool rslora) {
  return {.rank = 3,
          .alpha = 6,
          .rslora = rslora,
          .targets = {"gate", "up", "down"},
          .own = {{"feed_forward.up", {.rank = 2, .alpha = 5}}}};
}

// And its net.
GoldenStep Step(const models::LoraDescription& lora, bool training = false) {
  GoldenStep step;
  Graph& graph = step.graph;
  models::AdaptedGraph adapted(graph, &lora, training);
  const Value x = graph.Input("x", {{kRows, kWidth}, DType::kF32});
  const Value labels = graph.Input("labels", {{kRows}, DType::kS32});
  const Value y = layers::Glu(
      graph, x, {.name = "feed_forward", .units = kHidden, .use_bias = true, .transposed = true});
  layers::DenseOptions head;
  head.name = "head";
  head.units = kClasses;
  head.transposed = true;
  step.loss = CrossEntropy(graph, layers::Dense(graph, y, head), labels, {}).sum;
  return step;
}

double InputNumber(const std::string& input, int64_t i) {
  return input == "labels" ? static_cast<double>(Number(kLabels, i) % kClasses)
                           : static_cast<double>(Number(kPixels, i) % 256) / 128 - 1;
}

class LoraGoldenTest : public ::testing::TestWithParam<std::tuple<const char*, int>> {};

TEST_P(LoraGoldenTest, FirstStepIsThatOfPeftsArithmetic) {
  const auto& [name, threads] = GetParam();
  GoldenStep step = Step(AdaptersOf(std::string(name) == "rslora"));
  ASSERT_THAT(step.Differentiate(), IsOk());
  ExpectGolden(step, Golden()[name], InputNumber, threads);
}

INSTANTIATE_TEST_SUITE_P(Steps, LoraGoldenTest,
                         ::testing::Combine(::testing::Values("lora", "rslora"),
                                            ::testing::Values(0, 1, 2)),
                         testing::NameOfGolden);

// A number of a parameter or an input; B is not zero, so that A has a gradient.
DoubleTensor NumbersOf(const Graph::Node& node, const std::string& moved, int64_t at, double by) {
  DoubleTensor tensor(node.types[0].shape);
  const uint64_t stream = 3 + std::hash<std::string>{}(node.parameter.name) % 1000;
  for (int64_t i = 0; i < tensor.shape.elements(); ++i) {
    const bool input = node.kind == Graph::Node::Kind::kInput;
    tensor[i] = input ? InputNumber(node.name, i)
                      : static_cast<double>(Number(stream, i) % 1000) / 1000 - 0.5;
  }
  if (!moved.empty() && node.parameter.name == moved) {
    tensor[at] += by;
  }
  return tensor;
}

TEST(Lora, GradientsWithDropoutAreThoseOfFiniteDifferences) {
  constexpr double kBy = 1e-5;
  const RunScalars scalars = {.seed = 4, .step = 7};
  models::LoraDescription lora = AdaptersOf(false);
  lora.dropout = 0.4f;
  GoldenStep step = Step(lora, /*training=*/true);
  ASSERT_THAT(step.Differentiate(), IsOk());
  const auto loss = [&](const std::string& name, int64_t at, double by) {
    const auto source = [&](const Graph::Node& node) { return NumbersOf(node, name, at, by); };
    return Interpret(step.graph, {step.loss}, source, scalars).value()[0][0];
  };
  const auto source = [](const Graph::Node& node) { return NumbersOf(node, "", 0, 0); };
  const auto gradients = Interpret(step.graph, step.gradients, source, scalars);
  ASSERT_THAT(gradients, IsOk());
  int checked = 0;
  for (size_t p = 0; p < step.parameters.size(); ++p) {
    if (models::ProductOfFactor(step.name(p)).empty()) {
      continue;
    }
    const std::vector<double>& values = (*gradients)[p].values;
    for (int64_t at = 0; at < static_cast<int64_t>(values.size()); at += 3, ++checked) {
      const double by_difference =
          (loss(step.name(p), at, kBy) - loss(step.name(p), at, -kBy)) / (2 * kBy);
      EXPECT_NEAR(values[static_cast<size_t>(at)], by_difference, 1e-6) << step.name(p) << at;
    }
  }
  EXPECT_GT(checked, 30);
}

// How many ops of that kind the graph has.
int64_t Count(const Graph& graph, absl::string_view kind) {
  return std::ranges::count_if(graph.nodes(), [&](const Graph::Node& node) {
    return node.op != nullptr && node.op->kind() == kind;
  });
}

TEST(Lora, AdaptersOfOneInputShareTheirFirstProduct) {
  const GoldenStep step = Step(AdaptersOf(false));
  // Three weights and the head; A of gate and up together, and of down; three times B.
  EXPECT_EQ(Count(step.graph, "linear"), 4 + 2 + 3);
}

TEST(Lora, NothingIsDroppedOutsideOfTraining) {
  models::LoraDescription lora = AdaptersOf(false);
  lora.dropout = 0.5f;
  EXPECT_EQ(Count(Step(lora, /*training=*/false).graph, "dropout"), 0);
  EXPECT_EQ(Count(Step(lora, /*training=*/true).graph, "dropout"), 2);
}

TEST(Lora, FactorsBeginAsThoseOfPeft) {
  const GoldenStep step = Step(AdaptersOf(false));
  int seen = 0;
  for (const Graph::Node& node : step.graph.nodes()) {
    if (node.parameter.name != "feed_forward.gate.lora_A.weight" &&
        node.parameter.name != "feed_forward.gate.lora_B.weight") {
      continue;
    }
    ++seen;
    std::vector<float> values(static_cast<size_t>(node.parameter.shape.elements()));
    FillInitial(node.parameter, 1, values);
    const float most = *std::ranges::max_element(values, {}, [](float v) { return std::abs(v); });
    const bool is_a = node.parameter.name.ends_with("lora_A.weight");
    const double bound = 1 / std::sqrt(static_cast<double>(kWidth));
    EXPECT_LE(std::abs(most), is_a ? bound : 0);
    EXPECT_GE(std::abs(most), is_a ? 0.7 * bound : 0);
  }
  EXPECT_EQ(seen, 2);
}

// A list of layers: two dense ones, of which the first one has an adapter.
class LoraOfLayersTest : public ::testing::Test {
 protected:
  LoraOfLayersTest() {
    for (const int64_t units : {8, 3}) {
      layers::DenseOptions dense;
      dense.units = units;
      model_.layers.push_back({.name = "", .inputs = {}, .kind = dense});
    }
    model_.lora = {.rank = 2, .alpha = 4, .targets = {"dense_1"}};
  }

  absl::StatusOr<models::BuiltModel> Build(bool training = true) {
    const Value x = graph_.Input("features", {{4, 6}, DType::kF32});
    return models::BuildModel(graph_, model_, x, {.training = training});
  }

  Graph graph_;
  models::ModelDescription model_;
};

TEST_F(LoraOfLayersTest, AdaptersHaveRowsOfTheirOwn) {
  const auto built = Build();
  ASSERT_THAT(built, IsOk());
  std::vector<std::string> names;
  for (const models::LayerSummary& row : built->layers) {
    names.push_back(row.name);
  }
  EXPECT_THAT(names, ElementsAre("input", "dense_1", "dense_1.lora", "dense_2"));
  EXPECT_EQ(built->layers[1].weights, 6 * 8);
  EXPECT_EQ(built->layers[2].weights, 2 * (6 + 8));
  EXPECT_EQ(built->layers[2].kind, "lora");
  EXPECT_EQ(built->depth, 2);
}

TEST_F(LoraOfLayersTest, ATargetThatNamesNothingIsRefusedWithWhatThereIs) {
  model_.lora->targets = {"dense_1", "query"};
  EXPECT_THAT(Build(), StatusIs(kInvalid, AllOf(HasSubstr("model.pretrained.lora.targets[1]"),
                                                HasSubstr("query"), HasSubstr("dense_2"))));
}

TEST_F(LoraOfLayersTest, AllLinearLeavesOutWhatIsExcepted) {
  model_.lora->targets = {std::string(models::kAllLinear)};
  model_.lora->except = {"dense_2"};
  ASSERT_THAT(Build(), IsOk());
  std::vector<std::string> names;
  for (const Graph::Node& node : graph_.nodes()) {
    names.push_back(node.parameter.name);
  }
  EXPECT_THAT(names, Contains("dense_1.lora_A.weight"));
  EXPECT_THAT(names, Not(Contains("dense_2.lora_A.weight")));
}

TEST_F(LoraOfLayersTest, ACopyInAScopeHasTheSameAdapters) {
  model_.lora->targets = {"dense_*"};
  model_.lora->except = {"dense_2"};
  model_.lora->own["dense_1"] = {.rank = 5, .alpha = 1};
  const Graph::Scope scope(graph_, "target");
  ASSERT_THAT(Build(), IsOk());
  std::map<std::string, Shape> shapes;
  for (const Graph::Node& node : graph_.nodes()) {
    shapes.emplace(node.parameter.name, node.parameter.shape);
  }
  EXPECT_THAT(shapes, Contains(Pair("target.dense_1.lora_A.weight", Shape{5, 6})));
  EXPECT_THAT(shapes, Not(Contains(Key("target.dense_2.lora_A.weight"))));
}

TEST_F(LoraOfLayersTest, AreKeptInTheModelsDescription) {
  model_.lora->own["dense_1"] = {.rank = 5, .alpha = 1};
  const auto named = models::WithNames(model_);
  const auto read = models::ModelDescriptionFromJson(models::ToJson(*named));
  ASSERT_THAT(read, IsOk());
  ASSERT_TRUE(read->lora.has_value());
  EXPECT_TRUE(*read->lora == *named->lora);
}

TEST_F(LoraOfLayersTest, StandInTheModelsDescriptionUnderTheirName) {
  EXPECT_EQ(models::ToJson(models::WithNames(model_).value()).at("lora"),
            nlohmann::json::parse(R"({"rank": 2, "alpha": 4, "rslora": false, "dropout": 0,
                                      "targets": ["dense_1"], "except": []})"));
}

TEST_F(LoraOfLayersTest, StandInModelJsonBelowTheModel) {
  tasks::ModelFile file;
  file.task = tasks::ClassificationOptions{};
  file.model = models::WithNames(model_).value();
  const auto json = nlohmann::json::parse(tasks::ToJson(file));
  EXPECT_EQ(json.at("model").at("lora"), models::ToJson(*model_.lora));
}

TEST_F(LoraOfLayersTest, AModelWithoutThemDoesNotSpeakOfThem) {
  model_.lora.reset();
  EXPECT_FALSE(models::ToJson(models::WithNames(model_).value()).contains("lora"));
}

TEST_F(LoraOfLayersTest, AFieldThatIsMissingInAFileIsRefusedByItsName) {
  const nlohmann::json whole = models::ToJson(models::WithNames(model_).value());
  for (const char* field : {"rank", "alpha", "rslora", "dropout", "targets", "except"}) {
    nlohmann::json json = whole;
    json["lora"].erase(field);
    EXPECT_THAT(models::ModelDescriptionFromJson(json),
                StatusIs(kInvalid, AllOf(HasSubstr("lora: "), HasSubstr(field))));
  }
}

// All that a description can say, and the same in a file.
models::LoraDescription WholeDescription() {
  return {.rank = 4,
          .alpha = 16,
          .rslora = true,
          .dropout = 0.25f,
          .targets = {"query", "block_*.up"},
          .except = {"classifier"},
          .own = {{"block_1.up", {.rank = 2, .alpha = 3.5}}},
          .whole = {"norm.weight"}};
}
constexpr char kWholeDescription[] = R"({
    "rank": 4, "alpha": 16, "rslora": true, "dropout": 0.25, "targets": ["query", "block_*.up"],
    "except": ["classifier"], "own": {"block_1.up": {"rank": 2, "alpha": 3.5}},
    "whole": ["norm.weight"]})";

TEST(LoraDescription, IsWrittenWithAllItsFields) {
  EXPECT_EQ(models::ToJson(WholeDescription()), nlohmann::json::parse(kWholeDescription));
}

TEST(LoraDescription, IsReadWithAllItsFields) {
  const models::LoraDescription read =
      models::LoraFromJson(nlohmann::json::parse(kWholeDescription));
  EXPECT_EQ(read.rank, 4);
  EXPECT_EQ(read.alpha, 16);
  EXPECT_TRUE(read.rslora);
  EXPECT_EQ(read.dropout, 0.25f);
  EXPECT_THAT(read.targets, ElementsAre("query", "block_*.up"));
  EXPECT_THAT(read.except, ElementsAre("classifier"));
  ASSERT_THAT(read.own, ElementsAre(Key("block_1.up")));
  EXPECT_EQ(read.own.at("block_1.up").rank, 2);
  EXPECT_EQ(read.own.at("block_1.up").alpha, 3.5);
  EXPECT_THAT(read.whole, ElementsAre("norm.weight"));
}

TEST(LoraDescription, IsWrittenWithoutWhatAJobAloneSays) {
  models::LoraDescription lora = WholeDescription();
  lora.said["query"] = "targets[0] (q_proj)";
  EXPECT_EQ(models::ToJson(lora), nlohmann::json::parse(kWholeDescription));
}

TEST_F(LoraOfLayersTest, ARankOfZeroInAFileIsRefused) {
  nlohmann::json json = models::ToJson(models::WithNames(model_).value());
  json["lora"]["rank"] = 0;
  EXPECT_THAT(models::ModelDescriptionFromJson(json),
              StatusIs(kInvalid, HasSubstr("lora: rank: must be between 1")));
}

TEST(Lora, IsMergedIntoWeightsOfEitherLayout) {
  // B · A = [[3, 4], [6, 8], [9, 12]], [units, in].
  const std::vector<float> a = {3, 4}, b = {1, 2, 3};
  std::vector<float> weight(6, 1);
  models::AddLowRank(a, b, 1, 0.5, /*transposed=*/true, weight);
  EXPECT_THAT(weight, ElementsAre(2.5f, 3, 4, 5, 5.5f, 7));
  weight.assign(6, 1);
  models::AddLowRank(a, b, 1, 0.5, /*transposed=*/false, weight);
  EXPECT_THAT(weight, ElementsAre(2.5f, 4, 5.5f, 3, 5, 7));
}

// What is added to the rows, four numbers each, of sequences of these lengths, of which the first
// is this one of the batch.
std::vector<double> NoiseOf(const std::vector<int64_t>& lengths, int64_t first, float alpha = 3) {
  std::vector<double> offsets = {0};
  for (const int64_t length : lengths) {
    offsets.push_back(offsets.back() + static_cast<double>(length));
  }
  Graph graph;
  const auto rows = static_cast<int64_t>(offsets.back());
  const Value x = graph.Input("x", {{rows, 4}, DType::kF32});
  const Value at = graph.Input("offsets", {{std::ssize(offsets)}, DType::kS32});
  const Value y = EmbeddingNoise(graph, x, at, alpha);
  const auto source = [&](const Graph::Node& node) {
    DoubleTensor tensor(node.types[0].shape);
    if (node.name == "offsets") {
      tensor.values = offsets;
    }
    return tensor;
  };
  const RunScalars scalars = {.seed = 4, .step = 7, .first_example = first};
  return Interpret(graph, {y}, source, scalars).value()[0].values;
}

TEST(EmbeddingNoise, OfASequenceIsTheSameHoweverTheBatchIsSharedOut) {
  const std::vector<double> whole = NoiseOf({2, 3}, 8), last = NoiseOf({3}, 9);
  EXPECT_EQ(std::vector<double>(whole.begin() + 8, whole.end()), last);
}

// NEFTune adds uniform numbers of [−1, 1) times alpha / √(tokens · width): here 3 / √(100 · 4) and
// 3 / √(25 · 4).
TEST(EmbeddingNoise, HasTheSizeOfNeftuneInEachSequence) {
  const std::vector<double> noise = NoiseOf({100, 25}, 0);
  ASSERT_EQ(noise.size(), 500u);
  for (const auto& [begin, end, size] : {std::tuple(0, 400, 0.15), std::tuple(400, 500, 0.3)}) {
    const auto [least, most] = std::minmax_element(noise.begin() + begin, noise.begin() + end);
    EXPECT_GE(*least, -size - 1e-6);
    EXPECT_LE(*most, size + 1e-6);
    EXPECT_LE(*least, -0.7 * size);
    EXPECT_GE(*most, 0.7 * size);
  }
}

// The root mean square of uniform numbers of [−size, size) is size / √3.
TEST(EmbeddingNoise, IsSpreadEvenly) {
  const std::vector<double> noise = NoiseOf({1000}, 0);
  double squares = 0;
  for (const double number : noise) {
    squares += number * number;
  }
  const double size = 3 / std::sqrt(4000.0);
  EXPECT_NEAR(std::sqrt(squares / 4000), size / std::sqrt(3.0), 0.05 * size);
}

TEST(EmbeddingNoise, GrowsWithItsAlpha) {
  const std::vector<double> one = NoiseOf({5, 2}, 0, 1), four = NoiseOf({5, 2}, 0, 4);
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_NEAR(four[i], 4 * one[i], 1e-9);
  }
}

// A net that reads tokens.
struct TokenNet {
  const char* name;
  models::ModelDescription model = {};
  int64_t outputs = 0;
};

TokenNet OfPreset(const char* name, const char* options, int64_t outputs) {
  TokenNet net = {.name = name, .outputs = outputs};
  net.model.preset = {.name = name, .options = options};
  net.model.inputs = {"tokens", "offsets"};
  return net;
}

TokenNet OfLayers() {
  TokenNet net = {.name = "layers"};
  net.model.inputs = {"tokens", "offsets"};
  layers::DenseOptions dense;
  dense.units = 3;
  net.model.layers.push_back(
      {.name = "", .inputs = {}, .kind = layers::EmbeddingOptions{.rows = 9, .width = 8}});
  net.model.layers.push_back({.name = "", .inputs = {}, .kind = dense});
  net.model = models::WithNames(net.model).value();
  return net;
}

class NoisyNet : public ::testing::TestWithParam<TokenNet> {
 protected:
  // Twelve tokens of two texts.
  static absl::StatusOr<Value> Build(Graph& graph, float alpha, bool training) {
    graph.set_embedding_noise(alpha);
    const std::vector<models::NamedValue> inputs = {
        {"tokens", graph.Input("tokens", {{12}, DType::kS32})},
        {"offsets", graph.Input("offsets", {{3}, DType::kS32})}};
    HONE_ASSIGN_OR_RETURN(
        const models::BuiltModel built,
        models::BuildModel(graph, GetParam().model, inputs,
                           {.training = training, .vocabulary = 9, .outputs = GetParam().outputs}));
    return built.output;
  }
  static std::vector<double> Answers(float alpha, bool training) {
    Graph graph;
    const auto output = Build(graph, alpha, training);
    EXPECT_THAT(output, IsOk());
    const auto source = [](const Graph::Node& node) {
      if (node.kind != Graph::Node::Kind::kInput) {
        return NumbersOf(node, "", 0, 0);
      }
      constexpr double kOffsets[] = {0, 5, 12};
      DoubleTensor tensor(node.types[0].shape);
      for (int64_t i = 0; i < tensor.shape.elements(); ++i) {
        tensor[i] = node.name == "offsets" ? kOffsets[i] : static_cast<double>(i % 9);
      }
      return tensor;
    };
    return Interpret(graph, {*output}, source, {.seed = 4, .step = 7}).value()[0].values;
  }
};

TEST_P(NoisyNet, HasItsNoiseOnceAndInTrainingAlone) {
  for (const bool training : {true, false}) {
    Graph graph;
    ASSERT_THAT(Build(graph, 5, training), IsOk());
    EXPECT_EQ(Count(graph, "embedding_noise"), training ? 1 : 0);
  }
}

TEST_P(NoisyNet, AnswersAsWithoutNoiseOutsideOfTraining) {
  EXPECT_EQ(Answers(5, /*training=*/false), Answers(0, /*training=*/false));
}

TEST_P(NoisyNet, ComputesSomethingElseInTraining) {
  EXPECT_NE(Answers(5, /*training=*/true), Answers(0, /*training=*/true));
}

INSTANTIATE_TEST_SUITE_P(
    All, NoisyNet,
    ::testing::Values(OfPreset("gpt",
                               R"({"layers": 1, "heads": 2, "width": 8, "window": 16, "dropout": 0,
                                   "embedding_dropout": 0, "attention_dropout": 0})",
                               0),
                      OfPreset("transformer_encoder",
                               R"({"layers": 1, "heads": 2, "width": 8, "length": 16, "dropout": 0,
                                   "attention_dropout": 0, "head_dropout": 0})",
                               3),
                      OfLayers()),
    [](const auto& net) { return std::string(net.param.name); });

}  // namespace
}  // namespace hone::engine
