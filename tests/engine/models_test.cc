#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/models/build.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::models {
namespace {

using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

LayerDescription Of(LayerKind kind, std::string name = "", std::vector<std::string> inputs = {}) {
  return {.name = std::move(name),
          .inputs = std::move(inputs),
          .frozen = false,
          .kind = std::move(kind)};
}

LayerDescription Dense(int64_t units) {
  layers::DenseOptions dense;
  dense.units = units;
  return Of(dense);
}

LayerDescription Conv(int64_t filters, int64_t kernel = 3, std::string name = "",
                      std::vector<std::string> inputs = {}) {
  layers::Conv2dOptions conv;
  conv.filters = filters;
  conv.kernel = kernel;
  conv.padding = name.empty() ? layers::Padding::kValid : layers::Padding::kSame;
  return Of(conv, std::move(name), std::move(inputs));
}

absl::StatusOr<BuiltModel> Build(const ModelDescription& model, const Shape& example) {
  Graph graph;
  std::vector<int64_t> dims = {2};
  dims.insert(dims.end(), example.dims().begin(), example.dims().end());
  const Value input = graph.Input("features", {Shape(dims), DType::kF32});
  return BuildModel(graph, model, input, {.training = true});
}

std::vector<int64_t> Parameters(const BuiltModel& model) {
  std::vector<int64_t> counts;
  for (const LayerSummary& layer : model.layers) {
    if (layer.weights + layer.biases > 0) {
      counts.push_back(layer.weights + layer.biases);
    }
  }
  return counts;
}

ModelDescription S1() {
  return {
      {Conv(32), Of(MaxPool2d{}), Conv(64), Of(MaxPool2d{}), Of(Flatten{}), Dense(64), Dense(10)}};
}

TEST(BuildModel, CountsTheCourseCnnAsKerasDoes) {
  const auto model = Build(S1(), {1, 28, 28});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(Parameters(*model), ::testing::ElementsAre(320, 18'496, 102'464, 650));
  EXPECT_EQ(model->depth, 4);
  EXPECT_EQ(model->layers[0].weights, 0);
  EXPECT_EQ(model->layers[0].role, LayerRole::kInput);
  EXPECT_EQ(model->layers.back().role, LayerRole::kOutput);
  EXPECT_EQ(model->layers[1].output_shape, (Shape{32, 26, 26}));
}

TEST(BuildModel, CountsTheGansNetsAsKerasDoes) {
  const auto generator = Build({{Dense(128), Dense(128), Dense(128), Dense(784)}}, {100});
  const auto discriminator = Build({{Dense(128), Dense(128), Dense(1)}}, {784});
  ASSERT_TRUE(generator.ok() && discriminator.ok());
  int64_t sums[2] = {0, 0};
  for (const int64_t count : Parameters(*generator)) {
    sums[0] += count;
  }
  for (const int64_t count : Parameters(*discriminator)) {
    sums[1] += count;
  }
  EXPECT_EQ(sums[0], 147'088);
  EXPECT_EQ(sums[1], 117'121);
}

TEST(BuildModel, CountsTheFlopsOfOneExample) {
  const auto model = Build({{Dense(5)}}, {7});
  ASSERT_TRUE(model.ok());
  EXPECT_NEAR(model->layers[1].forward_flops, 2 * 7 * 5, 5);
}

TEST(BuildModel, AResidualBlockNamesItsInputs) {
  const ModelDescription model{{Conv(4, 3, "stem"), Conv(4, 3, "a"), Conv(4, 3, "b"),
                                Of(Add{ActivationKind::kRelu}, "sum", {"b", "stem"}),
                                Of(Concat{}, "both", {"sum", "input"})}};
  const auto built = Build(model, {3, 6, 6});
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(built->layers.back().output_shape, (Shape{7, 6, 6}));
  EXPECT_EQ(built->depth, 3);
}

// Two tables and the scalar product of their rows.
ModelDescription Factors(int64_t item_width) {
  layers::EmbeddingOptions users{.rows = 5, .width = 3}, items{.rows = 7, .width = item_width};
  ModelDescription model{
      {Of(users, "u", {"user"}), Of(items, "i", {"item"}), Of(Dot{}, "match", {"u", "i"})}};
  model.inputs = {"user", "item"};
  return model;
}

absl::StatusOr<BuiltModel> BuildFactors(const ModelDescription& model, DType dtype) {
  Graph graph;
  std::vector<NamedValue> inputs;
  for (const std::string& name : model.inputs) {
    inputs.push_back({name, graph.Input(name, {{4}, dtype})});
  }
  return BuildModel(graph, model, inputs, {});
}

TEST(BuildModel, RowsOfTwoTablesGiveOneNumberForEachPair) {
  const auto built = BuildFactors(Factors(3), DType::kS32);
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(built->layers[2].weights, 15);
  EXPECT_EQ(built->layers[3].kind, "embedding");
  EXPECT_EQ(built->layers.back().output_shape, (Shape{1}));
}

TEST(BuildModel, TablesThatDoNotFitAreNamed) {
  EXPECT_THAT(BuildFactors(Factors(4), DType::kS32),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("model.layers[2] (match)"), HasSubstr("[4, 4]"))));
  EXPECT_THAT(BuildFactors(Factors(3), DType::kF32),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("model.layers[0] (u)"), HasSubstr("whole numbers"))));
  ModelDescription three = Factors(3);
  three.layers[2].inputs.push_back("u");
  EXPECT_THAT(BuildFactors(three, DType::kS32),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("must name 2 layers, got 3")));
}

TEST(BuildModel, ALayerThatDoesNotFitIsNamedWithItsPlace) {
  EXPECT_THAT(
      Build({{Conv(8), Conv(8, 30)}}, {1, 28, 28}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("model.layers[1] (conv2d_2): ")));
  EXPECT_THAT(Build({{Dense(8), Conv(8)}}, {4}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("model.layers[1] (conv2d_1)"), HasSubstr("[8]"))));
}

TEST(BuildModel, AnExtentOfOneIsAddedToEveryPixel) {
  for (const std::vector<std::string>& inputs :
       {std::vector<std::string>{"a", "each"}, std::vector<std::string>{"each", "a"}}) {
    const auto built = Build({{Conv(4, 3, "a"), Of(GlobalMaxPool2d{}),
                               Of(Reshape{{4, 1, 1}}, "each"), Of(Add{}, "", inputs)}},
                             {1, 8, 6});
    ASSERT_TRUE(built.ok()) << built.status();
    EXPECT_EQ(built->layers[2].output_shape, (Shape{4}));
    EXPECT_EQ(built->layers.back().output_shape, (Shape{4, 8, 6}));
  }
}

TEST(BuildModel, DeadUnitsShowWhereOnlyAReluReadsTheWeights) {
  const auto built = Build({{Conv(4, 3, "a"), Of(Activation{}), Conv(4, 3, "b"),
                             Of(Activation{}, "relu"), Of(Add{}, "", {"relu", "b"}), Dense(2)}},
                           {1, 8, 8});
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_TRUE(built->layers[1].shows_dead_units);
  EXPECT_FALSE(built->layers[3].shows_dead_units) << "the sum reads it too";
  EXPECT_FALSE(built->layers[6].shows_dead_units) << "no function at all";
}

TEST(BuildModel, SumsOfTwoShapesAreRefused) {
  EXPECT_THAT(Build({{Conv(4, 3, "a"), Conv(5, 3, "b"), Of(Add{}, "", {"a", "b"})}}, {1, 8, 8}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("model.layers[2] (add_1)"), HasSubstr("[4, 8, 8]"))));
}

TEST(BuildModel, OneExtentOfAReshapeMayFollowFromTheOthers) {
  const auto built = Build({{Of(Reshape{{4, -1}})}}, {6, 2});
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(built->layers[1].output_shape, (Shape{4, 3}));
  EXPECT_THAT(Build({{Of(Reshape{{5, -1}})}}, {6, 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("12 elements")));
}

TEST(BuildModel, NormalisationHasAWeightAndABiasForEachChannel) {
  const auto built = Build({{Conv(6), Of(BatchNorm{}), Of(Flatten{}), Of(LayerNorm{})}}, {1, 4, 4});
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(built->layers[2].weights + built->layers[2].biases, 12);
  EXPECT_EQ(built->layers[4].weights + built->layers[4].biases, 48);
  EXPECT_TRUE(built->needs_batch_statistics);
}

TEST(WithNames, ARepeatedNameAndAnUnknownInputAreNamed) {
  EXPECT_THAT(WithNames({{Conv(1, 3, "a"), Conv(1, 3, "a")}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("model.layers[1] (a)")));
  EXPECT_THAT(WithNames({{Conv(1, 3, "a", {"nobody"})}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"nobody\"")));
}

TEST(ModelDescription, SurvivesJson) {
  ModelDescription model = S1();
  layers::DenseOptions dense;
  dense.units = 3;
  dense.activation = ActivationKind::kGeluTanh;
  dense.use_bias = false;
  dense.initializer = {Initializer::Kind::kNormal, 0.25f};
  model.layers.push_back(Of(dense, "last"));
  model.layers.back().frozen = true;
  model.layers.push_back(Of(Add{}, "", {"last", "last"}));
  model.layers.push_back(Of(BatchNorm{.momentum = 0.5f}));
  model.layers.push_back(Of(Dropout{0.5f}));
  model.layers.push_back(Of(GlobalMaxPool2d{}));
  model.layers.push_back(Of(Reshape{{3, -1}}));
  const auto named = WithNames(model);
  ASSERT_TRUE(named.ok()) << named.status();
  const nlohmann::json json = ToJson(*named);
  const auto back = ModelDescriptionFromJson(json);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(ToJson(*back), json);
  EXPECT_TRUE(back->layers[7].frozen);
}

TEST(ModelDescription, AnUnknownFieldOfAFileIsNamed) {
  nlohmann::json json = ToJson(*WithNames(S1()));
  json["layers"][0]["conv2d"]["colour"] = 1;
  EXPECT_THAT(ModelDescriptionFromJson(json),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("layers[0]"), HasSubstr("colour"))));
}

}  // namespace
}  // namespace hone::engine::models
