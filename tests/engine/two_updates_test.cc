#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/sum.h"
#include "engine/layers/dense.h"
#include "engine/ops/full.h"
#include "engine/ops/regression_loss.h"
#include "engine/tasks/graphs.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// A task whose step is two updates over one store, with memory of its own: what a GAN and a DQN ask
// of the loop. A small least-squares GAN (Mao et al. 2017) on the table of points.
namespace hone::engine::train {
namespace {

constexpr int64_t kColumns = 3;

// Counts its steps and keeps a rate that falls with them, which the graph reads as an input.
class FallingRate final : public tasks::TaskState {
 public:
  absl::Status BeginStep(const tasks::StepContext& context) override {
    rate_ *= 0.9f;
    steps_ += absl::StrCat(context.step, " ");
    return absl::OkStatus();
  }
  void Save(checkpoint::RunState& state) const override {
    state.scalars["rate"] = rate_;
    state.sections["steps"] = steps_;
  }
  absl::Status Restore(const checkpoint::RunState& state) override {
    rate_ = static_cast<float>(state.scalars.at("rate"));
    steps_ = state.sections.at("steps");
    return absl::OkStatus();
  }
  float rate() const { return rate_; }

 private:
  float rate_ = 1;
  std::string steps_;
};

class Duel final : public LossTask {
 public:
  explicit Duel(double generator_rate = 0.01) : generator_rate_(generator_rate) {}

  absl::string_view name() const override { return "duel"; }

  std::vector<tasks::UpdateSpec> updates() const override {
    return {{.name = "discriminator", .parameters = "discriminator."},
            {.name = "generator",
             .parameters = "generator.",
             .optimizer = optim::Sgd{.learning_rate = generator_rate_, .momentum = 0.9}}};
  }

  absl::StatusOr<tasks::TaskGraph> BuildLoss(const tasks::TrainingConfig&,
                                             const tasks::DataInfo& info, size_t update,
                                             const tasks::BatchShape& shape) const override {
    const int64_t batch = shape.batch;
    tasks::TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    Graph& graph = *result.built.graph;
    const Value real = tasks::FeaturesInput(graph, info, batch);
    const Value made =
        Dense(graph, graph.Input("rate", {{batch, 1}, DType::kF32}), "generator", kColumns);
    const Value wanted = Full(graph, {batch, 1}, 1), refused = Full(graph, {batch, 1}, 0);
    const Value fooled = Judge(graph, made);
    Loss loss = SquaredError(graph, fooled, update == 1 ? wanted : refused);
    if (update == 0) {
      loss.sum = Sum(graph, loss.sum, SquaredError(graph, Judge(graph, real), wanted).sum);
    }
    result.built.request = {
        .graph = &graph, .fetch = {loss.sum, loss.weight, graph.Constant(0)}, .gradients = {}};
    return result;
  }

  std::unique_ptr<tasks::TaskState> NewState(const tasks::TrainingConfig&) const override {
    return std::make_unique<FallingRate>();
  }
  absl::Status FillInputs(const data::Dataset&, const tasks::Examples&,
                          const tasks::TaskState* state,
                          const tasks::Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<float> rate, inputs.Find<float>("rate"));
    std::ranges::fill(rate, static_cast<const FallingRate*>(state)->rate());
    return absl::OkStatus();
  }

 private:
  static Value Dense(Graph& graph, Value x, const std::string& name, int64_t units) {
    layers::DenseOptions options;
    options.name = name;
    options.units = units;
    options.activation = ActivationKind::kTanh;
    return layers::Dense(graph, x, options);
  }
  static Value Judge(Graph& graph, Value x) { return Dense(graph, x, "discriminator", 1); }
  static Loss SquaredError(Graph& graph, Value x, Value target) {
    return RegressionLoss(graph, x, target, RegressionKind::kMeanSquaredError);
  }

  double generator_rate_;
};

class TwoUpdates : public TaskTest {
 protected:
  TwoUpdates() {
    config_ = AllPoints();
    config_.epochs = 2;
  }
};

TEST_F(TwoUpdates, StoppedAtEveryStepAndResumedIsNeverStopped) {
  ASSERT_EQ(Attempt(Duel(), NewRun()).value(), EndReason::kCompleted);
  const checkpoint::RunState whole = state_;
  const auto generator = Values("generator.weight"), judge = Values("discriminator.weight");
  EXPECT_GT(InPieces(Duel()), 5);
  EXPECT_EQ(Values("generator.weight"), generator);
  EXPECT_EQ(Values("discriminator.weight"), judge);
  EXPECT_EQ(state_.sections, whole.sections);
  EXPECT_EQ(state_.scalars["rate"], whole.scalars.at("rate"));
}

TEST_F(TwoUpdates, EachMovesItsOwnParametersOnly) {
  const Duel still(/*generator_rate=*/0);
  ASSERT_EQ(Attempt(still, NewRun()).value(), EndReason::kCompleted);
  const auto generator = Values("generator.weight"), judge = Values("discriminator.weight");
  programs_->store().Initialize(config_.seed);
  EXPECT_EQ(Values("generator.weight"), generator);
  EXPECT_NE(Values("discriminator.weight"), judge);
}

TEST_F(TwoUpdates, AreValidatedWithTheStateOfTheRun) {
  config_.data.validation_fraction = 0.2;
  ASSERT_EQ(Attempt(Duel(), NewRun()).value(), EndReason::kCompleted);
  EXPECT_GT(state_.history.back().values.at("validation_loss"), 0);
}

TEST_F(TwoUpdates, HaveNoMeanOfTheirWeights) {
  config_.average_decay = 0.9;
  EXPECT_THAT(
      Attempt(Duel(), NewRun()),
      hone::testing::StatusIs(
          absl::StatusCode::kInvalidArgument,
          ::testing::HasSubstr("training.average_decay: must be 0 where a step makes 2 updates")));
}

TEST_F(TwoUpdates, NameTheirMetrics) {
  ASSERT_EQ(Attempt(Duel(), NewRun()).value(), EndReason::kCompleted);
  const std::map<std::string, double>& values = recorder_.metrics.back().values;
  for (const char* name : {"generator_loss", "discriminator_loss", "generator_learning_rate",
                           "discriminator_gradient_norm"}) {
    EXPECT_TRUE(values.contains(name)) << name;
  }
  EXPECT_EQ(values.at("generator_learning_rate"), 0.01);
}

TEST_F(TwoUpdates, AreBothSeenInTheLayerStatistics) {
  ASSERT_EQ(Attempt(Duel(), NewRun()).value(), EndReason::kCompleted);
  std::vector<std::string> layers;
  for (const LayerStatistics::Layer& layer : recorder_.statistics.back().layers) {
    layers.push_back(layer.name);
    EXPECT_GT(layer.gradient_norm, 0) << layer.name;
  }
  EXPECT_THAT(layers, ::testing::UnorderedElementsAre("generator", "discriminator"));
}

}  // namespace
}  // namespace hone::engine::train
