#include "engine/tasks/parameter_rules.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "engine/base/status.h"
#include "engine/layers/dense.h"
#include "engine/ops/concat.h"
#include "engine/ops/cross_entropy.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// An encoder of two inputs that a function builds, its scopes one in another, and rules for its
// parameters at any depth.
namespace hone::engine::train {
namespace {

using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kWidth = 8;
constexpr int64_t kOffsets = 2;

// Learns classes from a row and from an offset that the task makes of the row's number.
class TwoTexts final : public LossTask {
 public:
  absl::string_view name() const override { return "two_texts"; }

  absl::StatusOr<tasks::TaskGraph> BuildLoss(const tasks::TrainingConfig& config,
                                             const tasks::DataInfo& info, size_t,
                                             const tasks::BatchShape& shape) const override {
    tasks::TaskGraph result = tasks::NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    const Value tokens = tasks::FeaturesInput(graph, info, shape.batch);
    const Value offsets = graph.Input("offsets", {{shape.batch, kOffsets}, DType::kF32});
    Value x = Encoder(graph, engine::Concat(graph, {tokens, offsets}));
    x = Dense(graph, x, "answer", info.classes());
    result.model.output = x;
    const Loss loss =
        CrossEntropy(graph, x, graph.Input("labels", {{shape.batch}, DType::kS32}), {});
    result.built.request.fetch = {loss.sum, loss.weight, loss.correct};
    return result;
  }
  absl::Status FillInputs(const data::Dataset& dataset, const tasks::Examples& examples,
                          const tasks::TaskState*, const tasks::Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<int32_t> labels, inputs.Find<int32_t>("labels"));
    HONE_ASSIGN_OR_RETURN(const std::span<float> offsets, inputs.Find<float>("offsets"));
    dataset.Gather(examples.rows, nullptr, labels.data());
    for (size_t i = 0; i < examples.rows.size(); ++i) {
      offsets[2 * i] = static_cast<float>(examples.rows[i] % 3);
      offsets[2 * i + 1] = 1;
    }
    return absl::OkStatus();
  }

 private:
  static Value Dense(Graph& graph, Value x, const std::string& name, int64_t units) {
    layers::DenseOptions dense;
    dense.name = name;
    dense.units = units;
    dense.activation = ActivationKind::kTanh;
    return layers::Dense(graph, x, dense);
  }
  static Value Encoder(Graph& graph, Value x) {
    const Graph::Scope encoder(graph, "encoder");
    for (const char* number : {"0", "1"}) {
      const Graph::Scope layer(graph, std::string("layer.") + number);
      x = Dense(graph, x, "query", kWidth);
    }
    return x;
  }
};

class ParameterRules : public TaskTest {
 protected:
  ParameterRules() {
    config_ = AllPoints();
    config_.epochs = 0;
    config_.steps = 1;
    config_.optimizer = optim::Adam{.learning_rate = 0.01};
  }
  absl::StatusOr<EndReason> Train(std::vector<tasks::ParameterRule> rules) {
    config_.parameter_rules = std::move(rules);
    return Attempt(TwoTexts(), NewRun());
  }
  // How far the run's one step moved a parameter: Adam's first step is the learning rate.
  float Moved(const std::string& name) {
    const std::vector<float> after = Values(name);
    std::vector<float> before(after.size());
    const ParameterStore& store = programs_->store();
    FillInitial(store.spec(store.Find(name).value()), config_.seed, before);
    float most = 0;
    for (size_t i = 0; i < after.size(); ++i) {
      most = std::max(most, std::abs(after[i] - before[i]));
    }
    return most;
  }
};

TEST_F(ParameterRules, LayersInNestedScopesLearnAndAreTold) {
  ASSERT_TRUE(Train({}).ok());
  EXPECT_GT(Moved("encoder.layer.0.query.weight"), 0);
  std::vector<std::string> layers;
  for (const LayerStatistics::Layer& layer : recorder_.statistics.back().layers) {
    layers.push_back(layer.name);
  }
  EXPECT_THAT(layers, ::testing::UnorderedElementsAre("encoder.layer.0.query",
                                                      "encoder.layer.1.query", "answer"));
}

TEST_F(ParameterRules, AGlobFreezesAtAnyDepth) {
  ASSERT_TRUE(Train({{.parameters = "encoder.layer.[0-0].*", .freeze = true}}).ok());
  EXPECT_EQ(Moved("encoder.layer.0.query.weight"), 0);
  EXPECT_EQ(Moved("encoder.layer.0.query.bias"), 0);
  EXPECT_GT(Moved("encoder.layer.1.query.weight"), 0);
}

TEST_F(ParameterRules, APrefixSetsALearningRateAndALaterRuleWins) {
  ASSERT_TRUE(Train({{.parameters = "encoder", .learning_rate_factor = 0.5f},
                     {.parameters = "encoder.layer.1", .learning_rate_factor = 0.25f}})
                  .ok());
  const float whole = Moved("answer.weight");
  EXPECT_NEAR(Moved("encoder.layer.0.query.weight"), whole / 2, whole / 100);
  EXPECT_NEAR(Moved("encoder.layer.1.query.weight"), whole / 4, whole / 100);
}

TEST_F(ParameterRules, WeightDecayFallsOnWhatDecays) {
  config_.optimizer = optim::AdamW{.learning_rate = 0, .weight_decay = 0};
  ASSERT_TRUE(Train({{.parameters = "answer", .weight_decay = 0.5f}}).ok());
  const optim::Optimizer& optimizer = *programs_->updates()[0].optimizer;
  for (size_t r = 0; r < optimizer.ranges().size(); ++r) {
    const std::string& name = programs_->store().spec(programs_->updates()[0].trained[r].id).name;
    EXPECT_EQ(optimizer.ranges()[r].weight_decay, name == "answer.weight" ? 0.5f : 0) << name;
  }
}

TEST_F(ParameterRules, ARuleThatNamesNothingIsRefusedWithWhatThereIs) {
  EXPECT_THAT(Train({{.parameters = "encoder.layer.[5-9].*", .freeze = true}}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("training.parameter_rules[0] (encoder.layer.[5-9].*)"),
                             HasSubstr("encoder.layer.0.query.weight"))));
}

TEST(ParameterRule, APrefixEndsAtADot) {
  const tasks::ParameterRule rule = {.parameters = "encoder.layer.1"};
  EXPECT_TRUE(tasks::RuleNames(rule, "encoder.layer.1.weight"));
  EXPECT_FALSE(tasks::RuleNames(rule, "encoder.layer.11.weight"));
}

TEST(ParameterRule, ALaterRuleThawsWhatAnEarlierOneFroze) {
  const std::vector<tasks::ParameterRule> rules = {{.parameters = "*", .freeze = true},
                                                   {.parameters = "*.bias", .freeze = false}};
  EXPECT_TRUE(tasks::Freezes(rules, "dense_1.weight"));
  EXPECT_FALSE(tasks::Freezes(rules, "dense_1.bias"));
}

TEST(ParameterRule, ThatNamesNothingIsToldByTheFieldItComesFrom) {
  tasks::ParameterRule rule = {
      .parameters = "dense_9", .weight_decay = 0.0f, .field = "training.weight_decay_exclude[0]"};
  EXPECT_THAT(tasks::CheckRules({rule}, {"dense_1.weight"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("training.weight_decay_exclude[0] (dense_9): names no")));
  rule.may_name_none = true;
  EXPECT_TRUE(tasks::CheckRules({rule}, {"dense_1.weight"}).ok());
}

TEST(ParameterRule, MustSayWhatIsDifferent) {
  EXPECT_THAT(tasks::CheckRules({{.parameters = "*"}}, {"a"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("must say freeze")));
  EXPECT_THAT(
      tasks::CheckRules({{.parameters = "*", .weight_decay = -1.0f}}, {"a"}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("weight_decay must be 0 or more")));
}

// A classification whose normalisation is frozen by name: it computes with the statistics it has.
TEST_F(ParameterRules, AFrozenNormalisationKeepsItsStatistics) {
  config_.model.layers = {DenseLayer(4), Of(models::BatchNorm{}), DenseLayer(3)};
  config_.parameter_rules = {{.parameters = "batch_norm_1", .freeze = true}};
  const auto task = tasks::MakeClassification({});
  ASSERT_TRUE(Attempt(*task, NewRun()).ok());
  EXPECT_THAT(Values("batch_norm_1.running_mean"), ::testing::Each(0));
}

TEST_F(ParameterRules, AParameterIsFrozenUntilAStep) {
  config_.steps = 2;
  ASSERT_TRUE(Train({{.parameters = "encoder.layer.0", .freeze_until_step = 2}}).ok());
  EXPECT_EQ(Moved("encoder.layer.0.query.weight"), 0);
  EXPECT_GT(Moved("encoder.layer.1.query.weight"), 0);
  ASSERT_TRUE(Train({{.parameters = "encoder.layer.0", .freeze_until_step = 1}}).ok());
  EXPECT_NEAR(Moved("encoder.layer.0.query.weight"), 0.01, 1e-3);
}

TEST_F(ParameterRules, LayersInFrontLearnMoreSlowlyByTheDecay) {
  config_.layer_decay = 0.5;
  ASSERT_TRUE(Train({}).ok());
  EXPECT_NEAR(Moved("encoder.layer.0.query.weight"), 0.005, 5e-4);
  EXPECT_NEAR(Moved("answer.weight"), 0.01, 1e-3);
}

TEST(LayersBehind, CountsBlocksAndWhatStandsAroundThem) {
  EXPECT_THAT(tasks::LayersBehind(
                  {"token_embedding.weight", "positions.weight", "block_1.attention.query.weight",
                   "block_1.norm.weight", "block_2.attention.query.weight",
                   "block_2.attention.query.lora_A.weight", "norm.weight", "classifier.weight"}),
              ::testing::ElementsAre(3, 3, 2, 2, 1, 1, 0, 0));
}

TEST(LayersBehind, CountsWhatStandsBetweenBlocksWithTheBlockBeforeIt) {
  EXPECT_THAT(
      tasks::LayersBehind({"source_embedding.weight", "encoder_1.up.weight", "encoder_2.up.weight",
                           "encoder_norm.weight", "decoder_1.up.weight", "decoder_2.up.weight",
                           "decoder_norm.weight"}),
      ::testing::ElementsAre(5, 4, 3, 3, 2, 1, 0));
}

TEST(LayersBehind, CountsTheLayersOfAList) {
  EXPECT_THAT(tasks::LayersBehind({"conv2d_1.weight", "conv2d_1.bias", "conv2d_2.weight",
                                   "dense_1.weight", "dense_1.lora_A.weight", "dense_2.weight"}),
              ::testing::ElementsAre(3, 3, 2, 1, 1, 0));
}

}  // namespace
}  // namespace hone::engine::train
