#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/graph/sum.h"
#include "engine/layers/normalization.h"
#include "engine/models/build.h"
#include "engine/ops/activation.h"
#include "engine/ops/linear.h"
#include "engine/ops/mul.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::models {
namespace {

using ::hone::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kBatch = 2;
constexpr int64_t kWidth = 4;

Value Dense(Graph& graph, Value x, const std::string& name, int64_t units) {
  layers::DenseOptions dense;
  dense.name = name;
  dense.units = units;
  return layers::Dense(graph, x, dense);
}

LayerDescription DenseOf(int64_t units, std::string name, std::vector<std::string> inputs = {}) {
  layers::DenseOptions dense;
  dense.units = units;
  return {.name = std::move(name), .inputs = std::move(inputs), .kind = dense};
}

Value Input(Graph& graph, const char* name) {
  return graph.Input(name, {{kBatch, kWidth}, DType::kF32});
}

// A preset: a function that builds an architecture, its scopes one in another.
Value Encoder(Graph& graph, Value x, int depth) {
  const Graph::Scope encoder(graph, "encoder");
  for (int i = 0; i < depth; ++i) {
    const Graph::Scope layers(graph, "layer");
    const Graph::Scope layer(graph, std::to_string(i));
    {
      const Graph::Scope attention(graph, "attention");
      const Value query = Dense(graph, x, "query", kWidth);
      x = Mul(graph, query, Dense(graph, x, "key", kWidth));
    }
    x = layers::LayerNorm(graph, x, {.name = "norm"});
  }
  return x;
}

std::vector<std::string> NamesOf(const std::vector<LayerSummary>& rows) {
  std::vector<std::string> names;
  for (const LayerSummary& row : rows) {
    names.push_back(row.name);
  }
  return names;
}

const LayerSummary& Row(const std::vector<LayerSummary>& rows, const std::string& name) {
  return *std::ranges::find(rows, name, &LayerSummary::name);
}

TEST(LayerTable, NestedScopesAreRowsNamedByTheirPaths) {
  Graph graph;
  Encoder(graph, Input(graph, "tokens"), 2);
  ASSERT_TRUE(graph.status().ok()) << graph.status();
  const std::vector<LayerSummary> rows = TableOf(graph, kBatch).rows;
  EXPECT_THAT(NamesOf(rows), ElementsAre("tokens", "encoder.layer.0.attention.query",
                                         "encoder.layer.0.attention.key", "encoder.layer.0.norm",
                                         "encoder.layer.1.attention.query",
                                         "encoder.layer.1.attention.key", "encoder.layer.1.norm"));
  const LayerSummary& query = Row(rows, "encoder.layer.1.attention.query");
  EXPECT_EQ(query.kind, "dense");
  EXPECT_EQ(query.weights, kWidth * kWidth);
  EXPECT_EQ(query.biases, kWidth);
  EXPECT_EQ(query.output_shape, (Shape{kWidth}));
  EXPECT_THAT(query.inputs, ElementsAre("encoder.layer.0.norm"));
}

TEST(LayerTable, ParametersAreNamedByTheirScopes) {
  Graph graph;
  Encoder(graph, Input(graph, "tokens"), 1);
  std::vector<std::string> names;
  for (const Graph::Node& node : graph.nodes()) {
    if (node.kind == Graph::Node::Kind::kParameter) {
      names.push_back(node.parameter.name);
    }
  }
  EXPECT_THAT(names, ::testing::Contains("encoder.layer.0.attention.query.weight"));
}

TEST(LayerTable, AScopeThatIsNoLayerIsARowWhereItHoldsParameters) {
  Graph graph;
  const Value x = Input(graph, "tokens");
  const Graph::Scope head(graph, "head");
  const Value weight =
      graph.Parameter({.name = "head.weight", .shape = {kWidth, 3}, .initializer = {}});
  Relu(graph, Linear(graph, x, weight, std::nullopt));
  const std::vector<LayerSummary> rows = TableOf(graph, kBatch).rows;
  ASSERT_THAT(NamesOf(rows), ElementsAre("tokens", "head"));
  EXPECT_EQ(rows[1].kind, "linear");
  EXPECT_EQ(rows[1].output_shape, (Shape{3}));
  EXPECT_TRUE(rows[1].shows_dead_units);
}

TEST(LayerTable, DepthCountsLayersWithWeightsAlongTheLongestPath) {
  Graph graph;
  const Value x = Encoder(graph, Input(graph, "tokens"), 3);
  EXPECT_EQ(TableOf(graph, kBatch).depths[static_cast<size_t>(x.node)], 6);
}

TEST(LayerTable, DepthGoesOnThroughSumsThatAreOfNoLayer) {
  Graph graph;
  const Value x = Input(graph, "tokens");
  const Value once = Sum(graph, x, Dense(graph, x, "first", kWidth));
  const Value y = Dense(graph, Sum(graph, once, x), "second", kWidth);
  EXPECT_EQ(TableOf(graph, kBatch).depths[static_cast<size_t>(y.node)], 2);
}

// The class of a text, and where in it: both inputs have layers of their own.
ModelDescription TwoInputs() {
  return {.layers = {DenseOf(3, "words", {"tokens"}),
                     DenseOf(3, "places", {"segments"}),
                     {.name = "sum", .inputs = {"words", "places"}, .kind = Add{}},
                     DenseOf(2, "answer")},
          .inputs = {"tokens", "segments"}};
}

TEST(BuildModel, AModelOfTwoInputsReadsEachByItsName) {
  Graph graph;
  const auto built =
      BuildModel(graph, TwoInputs(),
                 {{"segments", Input(graph, "segments")}, {"tokens", Input(graph, "tokens")}}, {});
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_THAT(Row(built->layers, "words").inputs, ElementsAre("tokens"));
  EXPECT_THAT(Row(built->layers, "places").inputs, ElementsAre("segments"));
  EXPECT_EQ(Row(built->layers, "segments").role, LayerRole::kInput);
  EXPECT_EQ(built->depth, 2);
}

TEST(BuildModel, AnInputThatTheTaskDoesNotGiveIsNamed) {
  Graph graph;
  EXPECT_THAT(BuildModel(graph, TwoInputs(), {{"tokens", Input(graph, "tokens")}}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tokens, segments")));
}

TEST(WithNames, TheFirstLayerOfSeveralInputsSaysWhichItReads) {
  ModelDescription model = TwoInputs();
  model.inputs = {"tokens", "points"};
  model.layers[0].inputs.clear();
  EXPECT_THAT(WithNames(model),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("several inputs")));
}

TEST(WithNames, SegmentsAreNotWhatTheFirstLayerReads) {
  ModelDescription model = TwoInputs();
  model.layers[0].inputs.clear();
  EXPECT_TRUE(WithNames(model).ok());
}

ModelDescription TwoNetworks() {
  return {
      .networks = {{.name = "generator", .layers = {DenseOf(8, ""), DenseOf(kWidth, "")}},
                   {.name = "discriminator", .layers = {DenseOf(1, "")}, .inputs = {"picture"}}}};
}

TEST(BuildNetwork, PutsItsNameBeforeItsLayers) {
  Graph graph;
  const auto made =
      BuildNetwork(graph, TwoNetworks(), "generator", {{"input", Input(graph, "noise")}}, {});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(NamesOf(made->layers),
              ElementsAre("generator.input", "generator.dense_1", "generator.dense_2"));
  const auto judged =
      BuildNetwork(graph, TwoNetworks(), "discriminator", {{"picture", made->output}}, {});
  ASSERT_TRUE(judged.ok()) << judged.status();
  EXPECT_EQ(graph.shape(judged->output), (Shape{kBatch, 1}));
  EXPECT_EQ(graph.scope(), "");
}

TEST(BuildNetwork, NamesTheNetworksThereAreAndTheLayerThatDoesNotFit) {
  Graph graph;
  EXPECT_THAT(BuildNetwork(graph, TwoNetworks(), "critic", {}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("generator, discriminator")));
  ModelDescription wrong = TwoNetworks();
  wrong.networks[1].layers[0] = DenseOf(0, "");
  EXPECT_THAT(BuildNetwork(graph, wrong, "discriminator", {{"picture", Input(graph, "x")}}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("model.networks[1] (discriminator).layers[0] (dense_1): units")));
}

ModelDescription PresetOf(const std::string& options) {
  return {.inputs = {"tokens", "segments"}, .preset = {.name = "mlp", .options = options}};
}

TEST(BuildModel, APresetIsAFunctionThatBuildsTheArchitecture) {
  Graph graph;
  const std::vector<NamedValue> inputs = {{"tokens", Input(graph, "tokens")},
                                          {"segments", Input(graph, "segments")}};
  const auto built = BuildModel(graph, PresetOf(R"({"units": [5, 3]})"), inputs, {});
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_THAT(NamesOf(built->layers), ElementsAre("tokens", "segments", "layer.0", "layer.1"));
  EXPECT_EQ(built->layers[2].weights, 2 * kWidth * 5);
  EXPECT_TRUE(built->layers[2].shows_dead_units);
  EXPECT_EQ(built->layers[3].role, LayerRole::kOutput);
  EXPECT_EQ(built->depth, 2);
  EXPECT_EQ(graph.shape(built->output), (Shape{kBatch, 3}));
}

TEST(BuildModel, APresetsOptionThatIsNotKnownIsNamed) {
  Graph graph;
  const std::vector<NamedValue> inputs = {{"tokens", Input(graph, "tokens")},
                                          {"segments", Input(graph, "segments")}};
  for (const auto& [options, problem] :
       {std::pair(R"({"units": [5], "unit": 1})", "`unit`"), {R"({})", "units"}, {"[", "JSON"}}) {
    EXPECT_THAT(BuildModel(graph, PresetOf(options), inputs, {}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         ::testing::AllOf(HasSubstr("model.preset (mlp): "), HasSubstr(problem))));
  }
}

TEST(ModelJson, InputsNetworksAndPresetsComeBack) {
  for (const ModelDescription& model :
       {TwoInputs(), TwoNetworks(), PresetOf(R"({"units": [5, 3]})")}) {
    const nlohmann::json json = ToJson(WithNames(model).value());
    const auto back = ModelDescriptionFromJson(json);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(ToJson(*back), json);
    EXPECT_EQ(back->inputs, model.inputs);
    EXPECT_EQ(back->networks.size(), model.networks.size());
    EXPECT_EQ(back->preset.name, model.preset.name);
  }
}

TEST(ModelJson, AModelOfOneInputIsWrittenAsBefore) {
  const nlohmann::json json = ToJson(ModelDescription{.layers = {DenseOf(2, "answer")}});
  EXPECT_EQ(json.size(), 1u);
  EXPECT_TRUE(json.contains("layers"));
}

}  // namespace
}  // namespace hone::engine::models
