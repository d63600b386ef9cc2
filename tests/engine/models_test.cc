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

// One of a preset's networks, for pictures of this shape.
absl::StatusOr<BuiltModel> BuildPreset(const std::string& preset, const Shape& input,
                                       const Shape& picture, const std::string& options = "{}") {
  const ModelDescription model{.networks = {{.name = "net", .preset = {preset, options}}}};
  Graph graph;
  std::vector<int64_t> dims = {2};
  dims.insert(dims.end(), input.dims().begin(), input.dims().end());
  const Value x = graph.Input("features", {Shape(dims), DType::kF32});
  absl::StatusOr<BuiltModel> built =
      BuildNetwork(graph, model, "net", {{"input", x}}, {.training = true, .picture = picture});
  if (built.ok()) {
    CompleteLayers(graph, 2, *built);
    dims = graph.shape(built->output).dims();
    built->layers.back().output_shape = Shape({dims.begin() + 1, dims.end()});
  }
  return built;
}

int64_t CountOf(const BuiltModel& model) {
  int64_t sum = 0;
  for (const int64_t count : Parameters(model)) {
    sum += count;
  }
  return sum;
}

TEST(GanPreset, IsTheCoursesNets) {
  const auto generator = BuildPreset("gan_generator", {100}, {1, 28, 28});
  const auto discriminator = BuildPreset("gan_discriminator", {1, 28, 28}, {1, 28, 28});
  ASSERT_TRUE(generator.ok()) << generator.status();
  ASSERT_TRUE(discriminator.ok()) << discriminator.status();
  EXPECT_EQ(CountOf(*generator), 147'088);
  EXPECT_EQ(generator->layers.back().output_shape, (Shape{1, 28, 28}));
  EXPECT_EQ(CountOf(*discriminator), 117'121);
  EXPECT_EQ(discriminator->layers.back().output_shape, (Shape{1}));
}

TEST(DcganPreset, DoublesSmallPicturesAndHalvesLargeOnes) {
  const auto generator = BuildPreset("dcgan_generator", {100}, {1, 28, 28});
  const auto discriminator = BuildPreset("dcgan_discriminator", {1, 28, 28}, {1, 28, 28});
  ASSERT_TRUE(generator.ok()) << generator.status();
  ASSERT_TRUE(discriminator.ok()) << discriminator.status();
  EXPECT_THAT(Parameters(*generator),
              ::testing::ElementsAre(101 * 6272, 128 * 64 * 16 + 64, 64 * 16 + 1));
  EXPECT_EQ(generator->layers.back().output_shape, (Shape{1, 28, 28}));
  EXPECT_THAT(Parameters(*discriminator),
              ::testing::ElementsAre(9 * 32 + 32, 9 * 32 * 64 + 64, 7 * 7 * 64 + 1));
}

TEST(DcganPreset, NormalisesTheGeneratorsHiddenLayersWhereAskedTo) {
  const auto generator = BuildPreset("dcgan_generator", {8}, {3, 32, 32},
                                     R"({"batch_norm": true, "filters": [8, 4]})");
  ASSERT_TRUE(generator.ok()) << generator.status();
  EXPECT_THAT(Parameters(*generator),
              ::testing::ElementsAre(9 * 8 * 64, 16, 8 * 4 * 16, 8, 4 * 3 * 16 + 3));
}

TEST(DcganPreset, RefusesPicturesThatCannotBeHalvedSoOften) {
  EXPECT_THAT(BuildPreset("dcgan_generator", {8}, {1, 28, 30}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("multiples of 4"), HasSubstr("[1, 28, 30]"))));
}

TEST(Preset, OfPicturesRefusesAnOptionThatItDoesNotKnow) {
  EXPECT_THAT(BuildPreset("gan_generator", {8}, {1, 28, 28}, R"({"colour": 1})"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("colour")));
}

TEST(BuildModel, CountsATransposedConvolutionsWeights) {
  Conv2dTranspose doubled;
  doubled.filters = 64;
  doubled.kernel = 4;
  doubled.stride = 2;
  doubled.padding = layers::Padding::kSame;
  const auto model = Build({{Of(doubled), Of(Upsample2d{})}}, {128, 7, 7});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->layers[1].name, "conv2d_transpose_1");
  EXPECT_EQ(model->layers[1].weights, 128 * 64 * 16);
  EXPECT_EQ(model->layers[1].biases, 64);
  EXPECT_EQ(model->layers[1].output_shape, (Shape{64, 14, 14}));
  // Each place of the input meets the whole kernel once.
  EXPECT_NEAR(model->layers[1].forward_flops, 2.0 * 7 * 7 * 128 * 64 * 16, 1e5);
  EXPECT_EQ(model->layers[2].output_shape, (Shape{64, 28, 28}));
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

// Embedding 64, LSTM 128, one unit, over a vocabulary of 10,000: the course's listing.
ModelDescription TextClassifier() {
  ModelDescription model{{Of(layers::EmbeddingOptions{.rows = 10000, .width = 64}),
                          Of(Lstm{{.units = 128}}), Dense(1)}};
  model.inputs = {"tokens", "offsets"};
  return model;
}

// A batch of 3 sequences in 16 rows.
absl::StatusOr<BuiltModel> BuildOfSequences(const ModelDescription& model) {
  Graph graph;
  return BuildModel(graph, model,
                    {{"tokens", graph.Input("tokens", {{16}, DType::kS32})},
                     {"offsets", graph.Input("offsets", {{4}, DType::kS32})}},
                    {});
}

TEST(BuildModel, AnLstmHasAsManyParametersAsKerasCounts) {
  const auto built = BuildOfSequences(TextClassifier());
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(Parameters(*built), (std::vector<int64_t>{640000, 98816, 129}));
  EXPECT_EQ(built->layers[2].biases, 512);
  EXPECT_EQ(built->layers.back().output_shape, Shape{1});
  EXPECT_EQ(built->depth, 3);
}

TEST(BuildModel, CountsTheArithmeticOfAMeanSequence) {
  const auto built = BuildOfSequences(TextClassifier());
  ASSERT_TRUE(built.ok()) << built.status();
  const double products = 2.0 * (64 + 128) * 512 * 16 / 3;
  EXPECT_NEAR(built->layers[2].forward_flops, products, 1e-3 * products);
}

TEST(BuildModel, GivesBothDirectionsOfEachLayerParametersOfTheirOwn) {
  ModelDescription model = TextClassifier();
  model.layers[1] = Of(Gru{{.units = 5, .layers = 2, .bidirectional = true}}, "states");
  const auto built = BuildOfSequences(model);
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(built->layers[2].weights + built->layers[2].biases,
            2 * (15 * (64 + 5) + 30) + 2 * (15 * (10 + 5) + 30));
  EXPECT_EQ(built->layers[2].output_shape, Shape{10});
}

TEST(BuildModel, AttentionHasTheWeightsOfItsFourProducts) {
  ModelDescription model = TextClassifier();
  model.layers[1] = Of(layers::AttentionOptions{.heads = 8, .kv_heads = 2, .causal = true});
  const auto built = BuildOfSequences(model);
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(built->layers[2].kind, "attention");
  EXPECT_EQ(built->layers[2].weights, 64 * 64 * 2 + 64 * 16 * 2);
  EXPECT_EQ(built->layers[2].biases, 64 * 2 + 16 * 2);
  EXPECT_EQ(built->layers[2].output_shape, Shape{64});
  // Four products of 16 rows, and a query's half of its sequence's 16 / 3 keys twice.
  const double flops = (2.0 * 16 * 64 * (64 + 64 + 16 + 16) + 4.0 * 16 * 64 * 8 / 3) / 3;
  EXPECT_NEAR(built->layers[2].forward_flops, flops, 1e-3 * flops);
  model.layers[1] = Of(layers::AttentionOptions{.heads = 7});
  EXPECT_THAT(BuildOfSequences(model),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("model.layers[1] (attention_1)"), HasSubstr("64"))));
}

TEST(BuildModel, AConvolutionOfSequencesHasAWeightForEachTokenThatItSees) {
  ModelDescription model = TextClassifier();
  model.layers[1] = Of(layers::Conv1dOptions{.filters = 7, .kernel = 5});
  const auto built = BuildOfSequences(model);
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(built->layers[2].weights, 5 * 64 * 7);
  EXPECT_EQ(built->layers[2].biases, 7);
  EXPECT_EQ(built->layers[2].output_shape, Shape{7});
}

TEST(BuildModel, LayersOfSequencesSayWhatIsMissing) {
  EXPECT_THAT(Build({{Of(Lstm{{.units = 4}})}}, {8}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("model.layers[0] (lstm_1)"), HasSubstr("sequences"))));
  ModelDescription model = TextClassifier();
  model.layers.erase(model.layers.begin());
  EXPECT_THAT(BuildOfSequences(model),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("model.layers[0] (lstm_1)"), HasSubstr("embedding"))));
  model = TextClassifier();
  model.layers[1].inputs = {"offsets"};
  EXPECT_THAT(BuildOfSequences(model),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("got \"offsets\"")));
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
  model.layers.push_back(Of(Upsample2d{.factor = 3}));
  Conv2dTranspose back_again;
  back_again.filters = 2;
  back_again.kernel = 4;
  back_again.stride = 2;
  model.layers.push_back(Of(back_again));
  model.layers.push_back(Of(Lstm{{.units = 3,
                                  .layers = 2,
                                  .bidirectional = true,
                                  .return_sequences = true,
                                  .dropout = 0.25f}}));
  model.layers.push_back(Of(layers::SequencePoolOptions{.kind = SegmentPoolKind::kMax}));
  model.layers.push_back(Of(layers::AttentionOptions{.heads = 4,
                                                     .kv_heads = 2,
                                                     .causal = true,
                                                     .window = 3,
                                                     .dropout = 0.25f,
                                                     .rotary = true,
                                                     .rotary_base = 500,
                                                     .use_bias = false}));
  model.layers.push_back(Of(
      layers::PositionsOptions{.kind = layers::PositionsOptions::Kind::kSinusoidal, .length = 5}));
  model.layers.push_back(Of(RmsNorm{0.5f}));
  model.layers.push_back(Of(layers::Conv1dOptions{
      .filters = 3, .kernel = 5, .causal = true, .activation = ActivationKind::kRelu}));
  model.layers.push_back(Of(Gru{{.units = 3, .reset_after = false}}));
  model.layers.push_back(Of(layers::AttentionOptions{.heads = 2, .alibi = true}));
  model.layers.push_back(
      Of(layers::GluOptions{.units = 6, .activation = ActivationKind::kGelu, .use_bias = true}));
  const auto named = WithNames(model);
  ASSERT_TRUE(named.ok()) << named.status();
  const nlohmann::json json = ToJson(*named);
  const auto back = ModelDescriptionFromJson(json);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(ToJson(*back), json);
  EXPECT_TRUE(back->layers[7].frozen);
}

TEST(ModelDescription, AnAttentionThatSaysNothingOfAlibiHasNone) {
  ModelDescription model;
  model.layers.push_back(Of(layers::AttentionOptions{.heads = 2}));
  nlohmann::json json = ToJson(*WithNames(model));
  json["layers"][0]["attention"].erase("alibi");
  const auto back = ModelDescriptionFromJson(json);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_FALSE(std::get<layers::AttentionOptions>(back->layers[0].kind).alibi);
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
