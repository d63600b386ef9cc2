// How the layers of a job file become those of a model.
#include <gmock/gmock.h>

#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/translate/job.h"
#include "server/translate/repeat.h"
#include "tests/server/translate_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::server::translate {
namespace {

using ::testing::ElementsAre;

// The layers of a model by name, each with what it reads: "block_1.a(input)".
std::vector<std::string> LayersOf(const std::string& model) {
  const auto config = ToTrainingConfig(
      RequestOf(absl::StrCat(R"({"classification": {}, "data": {"dataset": "mnist"},
                                 "training": {"epochs": 1}, "model": )",
                             model, "}")));
  EXPECT_TRUE(config.ok()) << config.status();
  std::vector<std::string> layers;
  for (const auto& layer : config->model.layers) {
    layers.push_back(absl::StrCat(layer.name, layer.frozen ? "!" : "",
                                  layer.inputs.empty() ? "" : "(", absl::StrJoin(layer.inputs, " "),
                                  layer.inputs.empty() ? "" : ")"));
  }
  return layers;
}

TEST(Repeat, IsWrittenOutCopyBehindCopy) {
  EXPECT_THAT(LayersOf(R"({"layers": [{"flatten": {}},
                  {"repeat": {"times": 2, "layers": [{"dense": {"units": 4}}, {"dropout": {}}]}},
                  {"dense": {"units": 2}}]})"),
              ElementsAre("flatten_1", "block_1.dense_1", "block_1.dropout_1", "block_2.dense_1",
                          "block_2.dropout_1", "dense_1"));
}

TEST(Repeat, ACopyReadsTheOneBeforeAndItsOwnLayers) {
  EXPECT_THAT(
      LayersOf(R"({"layers": [{"name": "stem", "dense": {"units": 4}},
                  {"repeat": {"times": 2, "name": "stage", "layers": [
                      {"name": "a", "dense": {"units": 4}},
                      {"name": "sum", "inputs": ["a", "input"], "add": {}}]}},
                  {"inputs": ["stage", "stem"], "add": {}}, {"dense": {"units": 2}}]})"),
      ElementsAre("stem", "stage_1.a", "stage_1.sum(stage_1.a stem)", "stage_2.a",
                  "stage_2.sum(stage_2.a stage_1.sum)", "add_1(stage_2.sum stem)", "dense_2"));
}

TEST(Repeat, ReadsWhatItsInputsName) {
  EXPECT_THAT(LayersOf(R"({"layers": [{"name": "a", "dense": {"units": 4}},
                  {"name": "b", "dense": {"units": 4}},
                  {"inputs": ["a"], "repeat": {"times": 2, "layers": [{"dense": {"units": 4}}]}},
                  {"dense": {"units": 2}}]})"),
              ElementsAre("a", "b", "block_1.dense_1(a)", "block_2.dense_1", "dense_3"));
}

TEST(Repeat, StandsWithinAnother) {
  EXPECT_THAT(
      LayersOf(R"({"layers": [{"repeat": {"times": 2, "name": "stage", "layers": [
                  {"repeat": {"times": 2, "layers": [{"dense": {"units": 4}},
                      {"inputs": ["dense_1", "input"], "add": {}}]}}]}}]})"),
      ElementsAre("stage_1.block_1.dense_1", "stage_1.block_1.add_1(stage_1.block_1.dense_1 input)",
                  "stage_1.block_2.dense_1",
                  "stage_1.block_2.add_1(stage_1.block_2.dense_1 stage_1.block_1.add_1)",
                  "stage_2.block_1.dense_1",
                  "stage_2.block_1.add_1(stage_2.block_1.dense_1 stage_1.block_2.add_1)",
                  "stage_2.block_2.dense_1",
                  "stage_2.block_2.add_1(stage_2.block_2.dense_1 stage_2.block_1.add_1)"));
}

TEST(Repeat, IsFrozenWhole) {
  EXPECT_THAT(LayersOf(R"({"layers": [{"frozen": true, "repeat": {"times": 2, "layers":
                  [{"dense": {"units": 4}}]}}, {"dense": {"units": 2}}]})"),
              ElementsAre("block_1.dense_1!", "block_2.dense_1!", "dense_1"));
}

TEST(Repeat, SaysOfEachCopyWhereItsLayerStands) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"classification": {}, "data": {"dataset": "wine"}, "training": {"epochs": 5},
          "model": {"layers": [{"dense": {"units": 8}}, {"repeat": {"times": 2, "layers":
              [{"dense": {"units": 8}}, {"dropout": {"rate": 0.1}}]}},
              {"dense": {"units": 3}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  const auto& layers = config->model.layers;
  ASSERT_EQ(layers.size(), 6u);
  EXPECT_EQ(layers[0].PlaceIn("model", 0), "model.layers[0]");
  EXPECT_EQ(layers[2].PlaceIn("model", 2), "model.layers[1].repeat.layers[1]");
  EXPECT_EQ(layers[4].PlaceIn("model", 4), "model.layers[1].repeat.layers[1]");
  EXPECT_EQ(layers[5].PlaceIn("model", 5), "model.layers[2]");
}

TEST(Repeat, BehindAPretrainedModelTheLayerThatItReadsNeedsAName) {
  v1::ModelSpec model;
  v1::Repeat& repeat = *model.add_layers()->mutable_repeat();
  repeat.set_times(2);
  repeat.add_layers()->mutable_dense();
  EXPECT_THAT(ExpandRepeats(model.layers(), /*behind_others=*/true), ::hone::testing::IsOk());
  v1::Layer& sum = *repeat.add_layers();
  sum.mutable_add();
  sum.add_inputs("dense_1");
  sum.add_inputs("input");
  EXPECT_THAT(ExpandRepeats(model.layers(), /*behind_others=*/true),
              ::hone::testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                        ::testing::HasSubstr("needs a name")));
  model.mutable_layers(0)->add_inputs("conv2d_2");
  EXPECT_THAT(ExpandRepeats(model.layers(), /*behind_others=*/true), ::hone::testing::IsOk());
}

TEST(ToTrainingConfig, TakesLayersOfSequencesAsTheyAreWritten) {
  const auto config = ToTrainingConfig(RequestOf(
      R"({"regression": {}, "data": {"dataset": "x"}, "training": {"epochs": 1}, "model": {"layers": [
          {"lstm": {"units": "4", "layers": "2", "bidirectional": true, "return_sequences": true,
                    "dropout": 0.25, "initializer": {"kind": "NORMAL", "stddev": 0.5}}},
          {"gru": {"units": "5"}}, {"simple_rnn": {"units": "6"}},
          {"sequence_pool": {"kind": "LAST"}}, {"sequence_pool": {}},
          {"attention": {"heads": "4", "kv_heads": "2", "causal": true, "window": "7", "dropout": 0.5,
                         "rotary": true, "rotary_base": 500, "use_bias": false,
                         "initializer": {"kind": "ZEROS"}}},
          {"attention": {"heads": "3"}},
          {"positions": {"length": "9"}}, {"positions": {"kind": "SINUSOIDAL"}},
          {"rms_norm": {"epsilon": 0.5}},
          {"conv1d": {"filters": "7", "kernel": "3", "causal": true, "activation": "RELU",
                      "use_bias": false, "initializer": {"kind": "ZEROS"}}},
          {"gru": {"units": "5", "reset_after": false}},
          {"attention": {"heads": "3", "alibi": true}}, {"glu": {"units": "8"}},
          {"glu": {"units": "9", "activation": "GELU", "use_bias": true}}]}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  const std::vector<engine::models::LayerDescription>& layers = config->model.layers;
  const auto& lstm = std::get<engine::models::Lstm>(layers[0].kind);
  EXPECT_EQ(lstm.units, 4);
  EXPECT_EQ(lstm.layers, 2);
  EXPECT_TRUE(lstm.bidirectional);
  EXPECT_TRUE(lstm.return_sequences);
  EXPECT_EQ(lstm.dropout, 0.25f);
  EXPECT_EQ(lstm.initializer.kind, engine::Initializer::Kind::kNormal);
  EXPECT_EQ(lstm.initializer.stddev, 0.5f);
  const auto& gru = std::get<engine::models::Gru>(layers[1].kind);
  EXPECT_EQ(gru.units, 5);
  EXPECT_EQ(gru.layers, 1);
  EXPECT_FALSE(gru.bidirectional);
  EXPECT_FALSE(gru.return_sequences);
  EXPECT_EQ(gru.initializer.kind, engine::Initializer::Kind::kGlorotUniform);
  EXPECT_EQ(std::get<engine::models::SimpleRnn>(layers[2].kind).units, 6);
  using engine::layers::SequencePoolOptions;
  EXPECT_EQ(std::get<SequencePoolOptions>(layers[3].kind).kind, engine::SegmentPoolKind::kLast);
  EXPECT_EQ(std::get<SequencePoolOptions>(layers[4].kind).kind, engine::SegmentPoolKind::kMean);
  const auto& attention = std::get<engine::layers::AttentionOptions>(layers[5].kind);
  EXPECT_EQ(attention.heads, 4);
  EXPECT_EQ(attention.kv_heads, 2);
  EXPECT_TRUE(attention.causal);
  EXPECT_EQ(attention.window, 7);
  EXPECT_EQ(attention.dropout, 0.5f);
  EXPECT_TRUE(attention.rotary);
  EXPECT_EQ(attention.rotary_base, 500);
  EXPECT_FALSE(attention.use_bias);
  EXPECT_EQ(attention.initializer.kind, engine::Initializer::Kind::kZeros);
  const auto& plain = std::get<engine::layers::AttentionOptions>(layers[6].kind);
  EXPECT_EQ(plain.kv_heads, 3);
  EXPECT_FALSE(plain.causal || plain.rotary || plain.alibi);
  EXPECT_TRUE(plain.use_bias);
  EXPECT_EQ(plain.rotary_base, 10000);
  using engine::layers::PositionsOptions;
  const auto& learned = std::get<PositionsOptions>(layers[7].kind);
  EXPECT_EQ(learned.kind, PositionsOptions::Kind::kLearned);
  EXPECT_EQ(learned.length, 9);
  EXPECT_EQ(learned.initializer.kind, engine::Initializer::Kind::kNormal);
  EXPECT_EQ(std::get<PositionsOptions>(layers[8].kind).kind, PositionsOptions::Kind::kSinusoidal);
  EXPECT_EQ(std::get<engine::models::RmsNorm>(layers[9].kind).epsilon, 0.5f);
  const auto& conv = std::get<engine::layers::Conv1dOptions>(layers[10].kind);
  EXPECT_EQ(conv.filters, 7);
  EXPECT_EQ(conv.kernel, 3);
  EXPECT_TRUE(conv.causal);
  EXPECT_EQ(conv.activation, engine::ActivationKind::kRelu);
  EXPECT_FALSE(conv.use_bias);
  EXPECT_EQ(conv.initializer.kind, engine::Initializer::Kind::kZeros);
  EXPECT_TRUE(gru.reset_after);
  EXPECT_FALSE(std::get<engine::models::Gru>(layers[11].kind).reset_after);
  EXPECT_TRUE(std::get<engine::layers::AttentionOptions>(layers[12].kind).alibi);
  const auto& swiglu = std::get<engine::layers::GluOptions>(layers[13].kind);
  EXPECT_EQ(swiglu.units, 8);
  EXPECT_EQ(swiglu.activation, engine::ActivationKind::kSilu);
  EXPECT_FALSE(swiglu.use_bias);
  const auto& geglu = std::get<engine::layers::GluOptions>(layers[14].kind);
  EXPECT_EQ(geglu.activation, engine::ActivationKind::kGelu);
  EXPECT_TRUE(geglu.use_bias);
}

}  // namespace
}  // namespace hone::server::translate
