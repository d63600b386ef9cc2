#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "engine/graph/sum.h"
#include "tests/engine/task_testing.h"
#include "tests/support/status_matchers.h"

// What a run makes of validations that go wrong.
namespace hone::engine::train {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class StepsSeen final : public tasks::TaskState {
 public:
  absl::Status BeginStep(const tasks::StepContext& context) override {
    step_ = context.step;
    return absl::OkStatus();
  }
  void Save(checkpoint::RunState&) const override {}
  absl::Status Restore(const checkpoint::RunState&) override { return absl::OkStatus(); }
  int64_t step() const { return step_; }

 private:
  int64_t step_ = 0;
};

// Classification whose held-out loss is NaN up to a step; training does not notice.
class SpoiledValidation final : public ChangedClassification {
 public:
  explicit SpoiledValidation(int64_t until_step) : until_step_(until_step) {}

  absl::string_view name() const override { return "spoiled"; }
  absl::StatusOr<tasks::TaskGraph> BuildEvaluation(const tasks::TrainingConfig& config,
                                                   const tasks::DataInfo& info,
                                                   const tasks::BatchShape& shape) const override {
    HONE_ASSIGN_OR_RETURN(tasks::TaskGraph result,
                          ChangedClassification::BuildEvaluation(config, info, shape));
    Graph& graph = *result.built.graph;
    Value& loss = result.built.request.fetch[0];
    loss = Sum(graph, loss, graph.Input("spoil", {Shape{}, DType::kF32}));
    return result;
  }
  std::unique_ptr<tasks::TaskState> NewState(const tasks::TrainingConfig&) const override {
    return std::make_unique<StepsSeen>();
  }
  absl::Status FillInputs(const data::Dataset& dataset, const tasks::Examples& examples,
                          const tasks::TaskState* state,
                          const tasks::Inputs& inputs) const override {
    HONE_ASSIGN_OR_RETURN(const std::span<float> spoil, inputs.Find<float>("spoil"));
    if (!spoil.empty()) {
      const bool spoiled = static_cast<const StepsSeen*>(state)->step() <= until_step_;
      spoil[0] = spoiled ? std::numeric_limits<float>::quiet_NaN() : 0;
    }
    return ChangedClassification::FillInputs(dataset, examples, state, inputs);
  }

 private:
  int64_t until_step_;
  std::unique_ptr<tasks::Task> task_ = tasks::MakeClassification({});
};

class Validation : public TaskTest {
 protected:
  Validation() {
    config_ = Points();
    config_.data.validation_fraction = 0.2;
    config_.epochs = 4;
  }
};

TEST_F(Validation, ThatIsNotANumberIsNotTheBestForEver) {
  constexpr int64_t kFirstEpoch = 4;  // 58 examples, 16 at a time
  ASSERT_EQ(Attempt(SpoiledValidation(kFirstEpoch), NewRun()).value(), EndReason::kCompleted);
  ASSERT_TRUE(state_.best.has_value());
  EXPECT_TRUE(std::isfinite(state_.best->value));
  EXPECT_GT(state_.best->step, kFirstEpoch);
  EXPECT_THAT(recorder_.warnings, Contains(HasSubstr("validation loss is not finite")));
}

TEST_F(Validation, ThatIsNeverANumberHasNoBestAndStopsEarly) {
  config_.epochs = 9;
  config_.early_stopping = tasks::EarlyStopping{.patience = 3};
  ASSERT_EQ(Attempt(SpoiledValidation(/*until_step=*/1000), NewRun()).value(),
            EndReason::kEarlyStop);
  EXPECT_FALSE(state_.best.has_value());
  EXPECT_EQ(state_.epoch, 3);
}

TEST_F(Validation, IsMadeOfTheLastWeightsWhereverInAnEpochTheyAre) {
  config_.epochs = 0;
  config_.steps = 6;  // an epoch has 4
  ASSERT_EQ(Attempt(SpoiledValidation(0), NewRun()).value(), EndReason::kCompleted);
  EXPECT_EQ(state_.history.back().step, 6);
  EXPECT_TRUE(state_.history.back().values.contains("validation_loss"));
  EXPECT_NEAR(state_.history.back().epoch, 1.5, 0.2);
}

TEST_F(Validation, IsLeftToTheRunThatGoesOnWhereThisOneStopsBefore) {
  config_.epochs = 0;
  config_.steps = 12;
  config_.stop_after = 6;
  ASSERT_EQ(Attempt(SpoiledValidation(0), NewRun()).value(), EndReason::kCompleted);
  EXPECT_EQ(state_.history.back().step, 4);
}

}  // namespace
}  // namespace hone::engine::train
