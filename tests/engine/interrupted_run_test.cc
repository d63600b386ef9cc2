#include <gmock/gmock.h>

#include "engine/base/cpu.h"
#include "engine/train/checkpoints.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

// A run that was stopped and goes on is the run that was never stopped, whatever the job has.
namespace hone::engine::train {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

struct Case {
  const char* name;
  void (*change)(tasks::TrainingConfig& config);
};

class InterruptedRun : public TrainTest, public ::testing::WithParamInterface<Case> {
 protected:
  // Stops after each step and resumes, with a fresh process's state, until the end. Returns how
  // many attempts that took.
  int InPieces(tasks::TrainingConfig config) {
    config.resume = true;
    recorder_.on_step = [this](int64_t) { stop_ = true; };
    int attempts = 1;
    for (; Run(config).value() == EndReason::kCancelled; ++attempts) {
      stop_ = false;
    }
    recorder_.on_step = nullptr;
    stop_ = false;
    return attempts;
  }
};

TEST_P(InterruptedRun, StoppedAtEveryStepHasTheBitsOfOneLeftAlone) {
  tasks::TrainingConfig whole = Pictures();
  whole.data.validation_fraction = 0.2;
  whole.layer_statistics_every = 1;
  GetParam().change(whole);
  if (whole.compute == DType::kBf16 && !HasBf16()) {
    GTEST_SKIP() << "this processor does not multiply bfloat16 numbers";
  }
  tasks::TrainingConfig pieces = whole;
  pieces.run_directory = NewRun();
  ASSERT_EQ(Run(whole).value(), EndReason::kCompleted);
  const auto state = checkpoint::LatestCheckpoint(CheckpointRoot(whole)).value().state;
  if (std::holds_alternative<optim::Plateau>(whole.schedule.kind)) {
    ASSERT_LT(state.plateau.factor, 1);  // else it has nothing to remember
  }
  EXPECT_GT(InPieces(pieces), 5);
  EXPECT_EQ(ModelSha(whole), ModelSha(pieces));
  const auto resumed = checkpoint::LatestCheckpoint(CheckpointRoot(pieces)).value().state;
  EXPECT_EQ(resumed.plateau, state.plateau);
  EXPECT_EQ(resumed.best, state.best);
}

constexpr Case kCases[] = {
    {"BatchNorm",
     [](tasks::TrainingConfig& config) {
       config.model.layers.insert(config.model.layers.begin() + 1, Of(models::BatchNorm{}));
     }},
    {"Bf16", [](tasks::TrainingConfig& config) { config.compute = DType::kBf16; }},
    {"Bf16WithBatchNorm",
     [](tasks::TrainingConfig& config) {
       config.model.layers.insert(config.model.layers.begin() + 1, Of(models::BatchNorm{}));
       config.compute = DType::kBf16;
     }},
    {"Plateau",
     [](tasks::TrainingConfig& config) {
       config.optimizer = optim::Sgd{.learning_rate = 2, .momentum = 0.9};
       config.schedule.kind = optim::Plateau{.factor = 0.5, .patience = 1};
       config.epochs = 5;
     }},
    {"AccumulatedBatches",
     [](tasks::TrainingConfig& config) {
       config.accumulate_batches = 2;
       config.batch_size = 8;
     }},
};

INSTANTIATE_TEST_SUITE_P(With, InterruptedRun, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

class ResumedRun : public TrainTest {};

TEST_F(ResumedRun, IsToldThatItsThreadsAreOthersEvenWhereTheShardsAreTheSame) {
  tasks::TrainingConfig config = Pictures();
  config.model.layers.insert(config.model.layers.begin() + 1, Of(models::BatchNorm{}));
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  config.resume = true;
  config.threads = 1;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_THAT(recorder_.warnings, Contains(AllOf(HasSubstr("began with 2 threads, f32"),
                                                 HasSubstr("goes on with 1 thread, f32"))));
}

TEST_F(ResumedRun, IsToldThatItsPrecisionIsAnother) {
  if (!HasBf16()) {
    GTEST_SKIP() << "this processor does not multiply bf16";
  }
  tasks::TrainingConfig config = Points();
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  config.resume = true;
  config.compute = DType::kBf16;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_THAT(recorder_.warnings, Contains(HasSubstr("goes on with 2 threads, bf16")));
}

TEST_F(ResumedRun, HearsNothingWhereAllIsAsItWas) {
  tasks::TrainingConfig config = Points();
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  config.resume = true;
  recorder_.warnings.clear();
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_THAT(recorder_.warnings, ::testing::IsEmpty());
}

}  // namespace
}  // namespace hone::engine::train
