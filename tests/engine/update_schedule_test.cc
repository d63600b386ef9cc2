#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/layers/dense.h"
#include "engine/ops/dropout.h"
#include "engine/ops/full.h"
#include "engine/ops/regression_loss.h"
#include "tests/engine/task_testing.h"

// Networks of one job that learn at their own pace: one at every step, one at every second, one
// only when there is enough to learn from.
namespace hone::engine::train {
namespace {

constexpr int64_t kUnits = 16;

// A buffer that is full after some steps: until then the update 0 is not made.
class Filling final : public tasks::TaskState {
 public:
  explicit Filling(int64_t full_at) : full_at_(full_at) {}
  absl::Status BeginStep(const tasks::StepContext&) override {
    ++steps_;
    return absl::OkStatus();
  }
  bool Makes(size_t update) const override { return update != 0 || steps_ > full_at_; }
  void Save(checkpoint::RunState& state) const override {
    state.scalars["steps"] = static_cast<double>(steps_);
  }
  absl::Status Restore(const checkpoint::RunState& state) override {
    steps_ = static_cast<int64_t>(state.scalars.at("steps"));
    return absl::OkStatus();
  }

 private:
  const int64_t full_at_;
  int64_t steps_ = 0;
};

// Each update has a network of its name, one layer that learns to answer 1 through a dropout.
class Networks final : public LossTask {
 public:
  explicit Networks(std::vector<tasks::UpdateSpec> updates, int64_t full_at = 0)
      : updates_(std::move(updates)), full_at_(full_at) {}

  absl::string_view name() const override { return "networks"; }
  std::vector<tasks::UpdateSpec> updates() const override { return updates_; }

  absl::StatusOr<tasks::TaskGraph> BuildLoss(const tasks::TrainingConfig&,
                                             const tasks::DataInfo& info, size_t update,
                                             const tasks::BatchShape& shape) const override {
    tasks::TaskGraph result;
    result.built.graph = std::make_unique<Graph>();
    Graph& graph = *result.built.graph;
    layers::DenseOptions dense;
    dense.name = updates_[update].name;
    dense.units = kUnits;
    dense.use_bias = false;
    const Value answer =
        layers::Dense(graph, tasks::FeaturesInput(graph, info, shape.batch), dense);
    graph.set_scope("dropout");
    const Loss loss =
        RegressionLoss(graph, Dropout(graph, answer, 0.5f), Full(graph, {shape.batch, kUnits}, 1),
                       RegressionKind::kMeanSquaredError);
    result.built.request = {
        .graph = &graph, .fetch = {loss.sum, loss.weight, graph.Constant(0)}, .gradients = {}};
    return result;
  }
  std::unique_ptr<tasks::TaskState> NewState(const tasks::TrainingConfig&) const override {
    return std::make_unique<Filling>(full_at_);
  }
  absl::Status FillInputs(const data::Dataset&, const tasks::Examples&, const tasks::TaskState*,
                          const tasks::Inputs&) const override {
    return absl::OkStatus();
  }

 private:
  const std::vector<tasks::UpdateSpec> updates_;
  const int64_t full_at_;
};

tasks::UpdateSpec Of(const std::string& network, int64_t every = 1) {
  return {.name = network, .parameters = absl::StrCat(network, "."), .every = every};
}

class UpdateSchedule : public TaskTest {
 protected:
  UpdateSchedule() {
    config_ = AllPoints();
    config_.epochs = 0;
  }
  void Train(const tasks::Task& task, int64_t steps) {
    config_.steps = steps;
    ASSERT_EQ(Attempt(task, NewRun()).value(), EndReason::kCompleted);
  }
  // Everything that update u moves: weights and both of Adam's states.
  std::vector<float> Moved(size_t u, const std::string& network) {
    std::vector<float> all = Values(absl::StrCat(network, ".weight"));
    const optim::Optimizer& optimizer = *programs_->updates()[u].optimizer;
    for (int s = 0; s < optimizer.state_slabs(); ++s) {
      all.insert(all.end(), optimizer.state(s).begin(), optimizer.state(s).end());
    }
    return all;
  }
  std::vector<float> Initial(const std::string& network) {
    const ParameterStore& store = programs_->store();
    const ParameterSpec& spec = store.spec(store.Find(absl::StrCat(network, ".weight")).value());
    std::vector<float> values(static_cast<size_t>(spec.shape.elements()));
    FillInitial(spec, config_.seed, values);
    return values;
  }
  // The units whose weights moved in the run's one step.
  std::vector<bool> UnitsThatLearned(const std::string& network) {
    const std::vector<float> after = Values(absl::StrCat(network, ".weight"));
    const std::vector<float> before = Initial(network);
    std::vector<bool> learned(kUnits);
    for (size_t i = 0; i < after.size(); ++i) {
      learned[i % kUnits] = learned[i % kUnits] || after[i] != before[i];
    }
    return learned;
  }
};

TEST_F(UpdateSchedule, AnUpdateAtEverySecondStepLeavesTheOthersAlone) {
  const Networks task({Of("policy"), Of("value", 2)});
  Train(task, 2);
  const std::vector<float> policy = Moved(0, "policy"), value = Moved(1, "value");
  Train(task, 3);
  EXPECT_NE(Moved(0, "policy"), policy);
  EXPECT_EQ(Moved(1, "value"), value);
  EXPECT_EQ(state_.scalars.at("policy_updates"), 3);
  EXPECT_EQ(state_.scalars.at("value_updates"), 1);
}

TEST_F(UpdateSchedule, StoppedAtEveryStepAndResumedIsNeverStopped) {
  const Networks task({Of("policy"), Of("value", 2)}, /*full_at=*/3);
  Train(task, 7);
  const std::vector<float> policy = Moved(0, "policy"), value = Moved(1, "value");
  EXPECT_EQ(InPieces(task), 7);
  EXPECT_EQ(Moved(0, "policy"), policy);
  EXPECT_EQ(Moved(1, "value"), value);
  EXPECT_EQ(state_.scalars.at("policy_updates"), 4);
  EXPECT_EQ(state_.scalars.at("value_updates"), 3);
}

TEST_F(UpdateSchedule, WhileTheBufferFillsNothingMoves) {
  const Networks task({Of("policy")}, /*full_at=*/3);
  Train(task, 3);
  for (const float state : programs_->updates()[0].optimizer->state(0)) {
    EXPECT_EQ(state, 0);
  }
  EXPECT_EQ(Values("policy.weight"), Initial("policy"));
}

// Adam's first update moves each weight by the learning rate; its fourth would not.
TEST_F(UpdateSchedule, SkippedUpdatesDoNotCountForAdam) {
  constexpr float kRate = 0.01f;
  config_.optimizer = optim::Adam{.learning_rate = kRate};
  Train(Networks({Of("policy")}, /*full_at=*/3), 4);
  const std::vector<float> after = Values("policy.weight");
  const std::vector<float> before = Initial("policy");
  float most = 0;
  for (size_t i = 0; i < after.size(); ++i) {
    most = std::max(most, std::abs(after[i] - before[i]));
  }
  EXPECT_NEAR(most, kRate, 0.01f * kRate);
}

TEST_F(UpdateSchedule, MetricsOfAnUpdateThatIsNotMadeAreLeftOut) {
  Train(Networks({Of("policy"), Of("value")}, /*full_at=*/9), 2);
  EXPECT_FALSE(recorder_.metrics.back().values.contains("policy_loss"));
  EXPECT_TRUE(recorder_.metrics.back().values.contains("value_loss"));
}

TEST_F(UpdateSchedule, StatisticsWaitForTheUpdatesThatAreNotMade) {
  config_.layer_statistics_every = 3;
  Train(Networks({Of("policy"), Of("value", 2)}), 4);
  ASSERT_EQ(recorder_.statistics.size(), 1u);
  EXPECT_EQ(recorder_.statistics[0].step, 4);
  EXPECT_EQ(recorder_.statistics[0].layers.size(), 2u);
}

TEST_F(UpdateSchedule, EachUpdateDropsUnitsOfItsOwn) {
  config_.batch_size = 1;  // a unit that is dropped for the one example does not learn
  Train(Networks({Of("policy"), Of("value")}), 1);
  const std::vector<bool> value = UnitsThatLearned("value"), policy = UnitsThatLearned("policy");
  EXPECT_NE(policy, value);
  Train(Networks({Of("value")}), 1);
  EXPECT_EQ(UnitsThatLearned("value"), policy) << "the first update's masks are those of a job "
                                                  "that has no other";
}

}  // namespace
}  // namespace hone::engine::train
