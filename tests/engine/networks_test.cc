#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "engine/base/status.h"
#include "engine/graph/sum.h"
#include "engine/job/plan.h"
#include "engine/ops/full.h"
#include "engine/ops/regression_loss.h"
#include "engine/tasks/model_file.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// A job of two networks that its model describes by name: a generator that makes rows of a table,
// and a discriminator that tells them from those that are there.
namespace hone::engine::train {
namespace {

constexpr int64_t kNoise = 2;

class Adversaries final : public LossTask {
 public:
  absl::string_view name() const override { return "adversaries"; }
  std::vector<tasks::UpdateSpec> updates() const override {
    return {{.name = "discriminator", .parameters = "discriminator."},
            {.name = "generator",
             .parameters = "generator.",
             .optimizer = optim::Sgd{.learning_rate = 0.1, .momentum = 0.9},
             .every = 2}};
  }

  absl::StatusOr<tasks::TaskGraph> BuildLoss(const tasks::TrainingConfig& config,
                                             const tasks::DataInfo& info, size_t update,
                                             const tasks::BatchShape& shape) const override {
    tasks::TaskGraph result = tasks::NewTaskGraph(config);
    Graph& graph = *result.built.graph;
    const Value real = tasks::FeaturesInput(graph, info, shape.batch);
    const Value noise = graph.Input("noise", {{shape.batch, kNoise}, DType::kF32});
    const auto add = [&](absl::string_view network, Value input) -> absl::StatusOr<Value> {
      HONE_ASSIGN_OR_RETURN(models::BuiltModel built,
                            models::BuildNetwork(graph, config.model, network, {{"input", input}},
                                                 {.training = true, .logits = true}));
      result.model.layers.insert(result.model.layers.end(), built.layers.begin(),
                                 built.layers.end());
      return built.output;
    };
    const Value one = Full(graph, {shape.batch, 1}, 1), zero = Full(graph, {shape.batch, 1}, 0);
    HONE_ASSIGN_OR_RETURN(const Value made, add("generator", noise));
    HONE_ASSIGN_OR_RETURN(const Value of_made, add("discriminator", made));
    Loss loss = SquaredError(graph, of_made, update == 1 ? one : zero);
    if (update == 0) {
      HONE_ASSIGN_OR_RETURN(const Value of_real, add("discriminator", real));
      loss.sum = Sum(graph, loss.sum, SquaredError(graph, of_real, one).sum);
    }
    result.built.request.fetch = {loss.sum, loss.weight, graph.Constant(0)};
    return result;
  }
  absl::Status FillInputs(const data::Dataset&, const tasks::Examples& examples,
                          const tasks::TaskState*, const tasks::Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<float> noise, inputs.Find<float>("noise"));
    for (size_t i = 0; i < noise.size(); ++i) {
      const auto place = static_cast<int64_t>(i) % kNoise;
      noise[i] = static_cast<float>((examples.rows[i / size_t{kNoise}] * 7 + place * 3) % 11) / 11;
    }
    return absl::OkStatus();
  }

 private:
  static Loss SquaredError(Graph& graph, Value x, Value target) {
    return RegressionLoss(graph, x, target, RegressionKind::kMeanSquaredError);
  }
};

class NamedNetworks : public TaskTest {
 protected:
  NamedNetworks() {
    config_ = AllPoints();
    config_.epochs = 0;
    config_.steps = 6;
    config_.layer_statistics_every = 2;
    config_.model.layers.clear();
    config_.model.networks = {
        {.name = "generator", .layers = {DenseLayer(6, kRelu), DenseLayer(3)}},
        {.name = "discriminator", .layers = {DenseLayer(4, kRelu), DenseLayer(1)}}};
  }
};

TEST_F(NamedNetworks, EachHasItsLayersAndItsOptimizer) {
  ASSERT_EQ(Attempt(Adversaries(), NewRun()).value(), EndReason::kCompleted);
  const std::vector<CompiledUpdate>& updates = programs_->updates();
  EXPECT_EQ(optim::NameOf(updates[0].optimizer->options()), "adam");
  EXPECT_EQ(optim::NameOf(updates[1].optimizer->options()), "sgd");
  for (const CompiledUpdate& update : updates) {
    std::vector<std::string> moved;
    for (const TrainedParameter& trained : update.trained) {
      moved.push_back(programs_->store().spec(trained.id).name);
    }
    const std::string& network = update.spec.name;
    EXPECT_THAT(moved, ::testing::UnorderedElementsAre(
                           network + ".dense_1.weight", network + ".dense_1.bias",
                           network + ".dense_2.weight", network + ".dense_2.bias"));
  }
}

TEST_F(NamedNetworks, StoppedAtEveryStepAndResumedAreNeverStopped) {
  ASSERT_EQ(Attempt(Adversaries(), NewRun()).value(), EndReason::kCompleted);
  const std::vector<float> generator = Values("generator.dense_2.weight"),
                           discriminator = Values("discriminator.dense_2.weight");
  EXPECT_EQ(InPieces(Adversaries()), 6);
  EXPECT_EQ(state_.scalars.at("generator_updates"), 3);
  EXPECT_EQ(Values("generator.dense_2.weight"), generator);
  EXPECT_EQ(Values("discriminator.dense_2.weight"), discriminator);
}

TEST_F(NamedNetworks, StandInTheLayerTableUnderTheirNames) {
  ASSERT_EQ(Attempt(Adversaries(), NewRun()).value(), EndReason::kCompleted);
  std::vector<std::string> names;
  for (const models::LayerSummary& layer : programs_->layers()) {
    names.push_back(layer.name);
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre(
                         "generator.input", "generator.dense_1", "generator.dense_2",
                         "discriminator.input", "discriminator.dense_1", "discriminator.dense_2"));
}

TEST_F(NamedNetworks, ComeBackFromTheModelFile) {
  tasks::ModelFile file;
  const data::LoadedData data = tasks::LoadExamples(config_.data, config_, Adversaries()).value();
  file.preprocessing = data.preprocessing;
  file.model = models::WithNames(config_.model).value();
  const absl::StatusOr<tasks::ModelFile> back = tasks::ModelFileFromJson(tasks::ToJson(file));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(models::ToJson(back->model), models::ToJson(file.model));
}

TEST(ModelFile, ThatNestsTooDeeplyIsRefused) {
  const absl::Status status =
      tasks::ModelFileFromJson("{\"model\": " + std::string(1 << 20, '[')).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("model.json: has lists"));
}

}  // namespace
}  // namespace hone::engine::train
