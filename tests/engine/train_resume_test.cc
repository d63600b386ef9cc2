// What a stopped run goes on with, and what it refuses to go on with.
#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <string>

#include "engine/base/files.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/train/checkpoints.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::train {
namespace {

using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

// Stops after each step of a run and resumes, with a fresh process's state, until the end.
TEST_F(TrainTest, StoppedAtEveryStepAndResumedIsNeverStopped) {
  for (const bool pictures : {false, true}) {
    tasks::TrainingConfig whole = pictures ? Pictures() : Points();
    whole.data.validation_fraction = 0.1;
    whole.schedule.kind = optim::CosineDecay();
    whole.layer_statistics_every = 1;
    tasks::TrainingConfig pieces = whole;
    pieces.run_directory = NewRun();
    pieces.resume = true;
    ASSERT_EQ(Run(whole).value(), EndReason::kCompleted);
    recorder_.on_step = [&](int64_t) { stop_ = true; };
    int attempts = 0;
    absl::StatusOr<EndReason> end = EndReason::kCancelled;
    while (end.ok() && *end == EndReason::kCancelled) {
      stop_ = false;
      end = Run(pieces);
      ASSERT_LT(++attempts, 100);
    }
    recorder_.on_step = nullptr;
    stop_ = false;
    ASSERT_EQ(end.value(), EndReason::kCompleted);
    EXPECT_GT(attempts, 5);
    EXPECT_EQ(ModelSha(whole), ModelSha(pieces)) << (pictures ? "pictures" : "points");
  }
}

TEST_F(TrainTest, ARunThatEndsBeforeItsLengthIsGoneOnWithToTheWeightsOfTheWhole) {
  tasks::TrainingConfig whole = Points();
  whole.schedule.kind = optim::CosineDecay();
  tasks::TrainingConfig rungs = whole;
  rungs.run_directory = NewRun();
  ASSERT_EQ(Run(whole).value(), EndReason::kCompleted);
  rungs.stop_after = 1;
  ASSERT_EQ(Run(rungs).value(), EndReason::kCompleted);
  EXPECT_EQ(recorder_.metrics.back().step, 5);  // of an epoch
  EXPECT_EQ(recorder_.metrics.back().total_steps, 5);
  EXPECT_NE(ModelSha(rungs), "no model");
  EXPECT_NE(ModelSha(rungs), ModelSha(whole));
  rungs.resume = true;
  rungs.stop_after = 3;
  ASSERT_EQ(Run(rungs).value(), EndReason::kCompleted);
  rungs.stop_after = 0;
  ASSERT_EQ(Run(rungs).value(), EndReason::kCompleted);
  EXPECT_EQ(ModelSha(rungs), ModelSha(whole));
}

TEST_F(TrainTest, AccumulatedBatchesSurviveAResumeBitByBit) {
  tasks::TrainingConfig whole = Points();
  whole.accumulate_batches = 2;
  whole.layer_statistics_every = 1;
  tasks::TrainingConfig pieces = whole;
  pieces.run_directory = NewRun();
  ASSERT_EQ(Run(whole).value(), EndReason::kCompleted);
  EXPECT_EQ(recorder_.metrics.back().step, 12);  // 5 batches an epoch: 2, 2 and 1
  recorder_.on_step = [&](int64_t step) { stop_ = step == 4; };
  ASSERT_EQ(Run(pieces).value(), EndReason::kCancelled);
  stop_ = false;
  recorder_.on_step = nullptr;
  pieces.resume = true;
  ASSERT_EQ(Run(pieces).value(), EndReason::kCompleted);
  EXPECT_EQ(ModelSha(whole), ModelSha(pieces));
}

TEST_F(TrainTest, ACheckpointOfAnotherJobIsNotResumed) {
  tasks::TrainingConfig config = Points();
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  config.resume = true;
  config.seed = 9;
  EXPECT_THAT(Run(config), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("another job")));
}

TEST_F(TrainTest, ARunWhoseKnownCheckpointIsMissingIsLostAndDoesNotBeginAnew) {
  tasks::TrainingConfig config = Points();
  config.resume = true;
  config.known_checkpoint = 4;
  EXPECT_THAT(Run(config), StatusIs(absl::StatusCode::kDataLoss,
                                    AllOf(HasSubstr("step 4"), HasSubstr("there is none"))));
}

TEST_F(TrainTest, ARunDoesNotGoOnFromAnOlderCheckpointThanTheKnownOne) {
  tasks::TrainingConfig config = Points();
  config.layer_statistics_every = 1;
  recorder_.on_step = [&](int64_t step) { stop_ = step == 3; };
  ASSERT_EQ(Run(config).value(), EndReason::kCancelled);
  stop_ = false;
  recorder_.on_step = nullptr;
  config.resume = true;
  config.known_checkpoint = 4;
  EXPECT_THAT(Run(config), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("is of step 3")));
}

TEST_F(TrainTest, ARunGoesOnFromAnOlderCheckpointWhereTheKnownOneIsDamaged) {
  tasks::TrainingConfig config = Points();
  config.checkpoints.every_steps = 1;
  config.layer_statistics_every = 1;
  recorder_.on_step = [&](int64_t step) { stop_ = step == 4; };
  ASSERT_EQ(Run(config).value(), EndReason::kCancelled);
  stop_ = false;
  recorder_.on_step = nullptr;
  const std::string newest = checkpoint::CheckpointDirectory(CheckpointRoot(config), 4);
  std::filesystem::resize_file(newest + "/model.safetensors", 10);
  config.resume = true;
  config.known_checkpoint = 4;
  EXPECT_EQ(Run(config).value(), EndReason::kCompleted);
}

TEST_F(TrainTest, ARunDoesNotGoOnWithOtherDataOfTheSameSize) {
  tasks::TrainingConfig config = Points();
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  config.resume = true;
  std::string table = ReadFile(config.data.path).value();
  std::filesystem::create_directories(Path("elsewhere"));
  config.data.path = Write("elsewhere/points.csv", table);
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);  // the same data in another place
  table[table.size() - 2] = 'x';                          // another class for the last row
  Write("elsewhere/points.csv", table);
  EXPECT_THAT(Run(config), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("other data")));
}

TEST_F(TrainTest, ARunThatFindsOnlyGeneratedDigitsMayBeTriedAgain) {
  tasks::TrainingConfig config = Pictures();
  config.data.height = config.data.width = 28;
  config.data.limit = 40;
  config.data.classes = {"0", "1"};
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  config.resume = true;
  config.data.path.clear();
  config.data.dataset = "mnist";  // without a mirror and a cache
  EXPECT_THAT(Run(config), StatusIs(absl::StatusCode::kUnavailable,
                                    AllOf(HasSubstr("other data"), HasSubstr("generated"))));
}

TEST_F(TrainTest, ASecondRunInTheSameFolderIsRefusedWhileTheFirstGoesOn) {
  tasks::TrainingConfig config = Points();
  config.layer_statistics_every = 1;
  absl::Status second;
  recorder_.on_step = [&](int64_t step) {
    if (step == 3) {
      std::atomic<bool> no_patience = true;
      Recorder other;
      second = job::Trainer(config, no_patience, other).Run().status();
    }
  };
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  EXPECT_THAT(second, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("is in use")));
  recorder_.on_step = nullptr;
  config.resume = true;
  EXPECT_EQ(Run(config).value(), EndReason::kCompleted);  // it is free again
}

TEST_F(TrainTest, TheWeightsAtTheEndAreKeptWhereTheBestOnesAreDamaged) {
  tasks::TrainingConfig config = Points();
  config.data.validation_fraction = 0.2;
  config.epochs = 200;
  config.optimizer = optim::Sgd{.learning_rate = 30};
  config.early_stopping = tasks::EarlyStopping{.patience = 3, .min_delta = 0};
  ASSERT_EQ(Run(config).value(), EndReason::kEarlyStop);
  int64_t best = 0;
  for (const CheckpointWritten& checkpoint : recorder_.checkpoints) {
    best = checkpoint.best ? checkpoint.step : best;
  }
  std::filesystem::resize_file(
      checkpoint::CheckpointDirectory(CheckpointRoot(config), best) + "/model.safetensors", 100);
  std::filesystem::remove_all(config.run_directory + "/model");
  config.resume = true;
  ASSERT_EQ(Run(config).value(), EndReason::kEarlyStop);
  EXPECT_THAT(recorder_.warnings, Contains(HasSubstr("the weights at the end are kept")));
  EXPECT_NE(ModelSha(config), "no model");
}

}  // namespace
}  // namespace hone::engine::train
