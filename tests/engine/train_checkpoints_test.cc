// When checkpoints are written, what is in them and which of them stay.
#include <gmock/gmock.h>

#include <cmath>
#include <string>
#include <vector>

#include "engine/base/files.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/train/checkpoints.h"
#include "engine/train/meter.h"
#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(TrainTest, CheckpointsAreWrittenEverySoManySteps) {
  tasks::TrainingConfig config = Points();
  config.checkpoints.every_steps = 7;
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  std::vector<int64_t> steps;
  for (const CheckpointWritten& checkpoint : recorder_.checkpoints) {
    steps.push_back(checkpoint.step);
  }
  EXPECT_THAT(steps, ::testing::ElementsAre(7, 14, 20));
}

// Epochs of a millisecond: the first one's end and the last one's have a checkpoint, few between.
TEST_F(TrainTest, ShortEpochsAreNotSpentOnCheckpointsAndEvents) {
  tasks::TrainingConfig config = Points();
  config.epochs = 6000;
  config.layer_statistics_every = 0;
  config.checkpoints.every_seconds = 0;
  const Clock::time_point begin = Clock::now();
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  const double seconds = SecondsBetween(begin, Clock::now());
  const std::vector<CheckpointWritten>& checkpoints = recorder_.checkpoints;
  EXPECT_EQ(checkpoints.front().step, 5);
  EXPECT_EQ(checkpoints.back().step, 30'000);
  // After each of them, but for the one before the last, is trained for twenty times as long.
  double writing = 0;
  for (size_t i = 0; i + 2 < checkpoints.size(); ++i) {
    writing += checkpoints[i].seconds;
  }
  EXPECT_LE(20 * writing, seconds);
  // One for each interval, one for each two of them at an epoch's end, the first and the last.
  EXPECT_LE(static_cast<double>(recorder_.metrics.size()),
            1.5 * seconds / IntervalMeter::kLeastSeconds + 3);
  const auto latest = checkpoint::LatestCheckpoint(CheckpointRoot(config));
  ASSERT_THAT(latest, IsOk());
  EXPECT_LE(latest->state.history.size(), 4096u);
  EXPECT_EQ(latest->state.history.back().epoch, 6000);
}

TEST_F(TrainTest, ACheckpointDoesNotKnowWhereItsDataLay) {
  const tasks::TrainingConfig config = Points();
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  const auto state = ReadFile(
      checkpoint::CheckpointDirectory(CheckpointRoot(config), recorder_.checkpoints.back().step) +
      "/state.json");
  ASSERT_THAT(state, IsOk());
  EXPECT_THAT(*state, AllOf(HasSubstr("data_fingerprint"), ::testing::Not(HasSubstr("points"))));
}

TEST_F(TrainTest, ANonFiniteLossEndsTheRunWithItsStepAndAFiniteCheckpoint) {
  std::string table = "x,y\n";
  for (int i = 0; i < 64; ++i) {
    table += std::to_string(i) + "," + std::to_string(3 * i) + "\n";
  }
  tasks::TrainingConfig config = Points();
  config.data.path = Write("line.csv", table);
  config.data.task = data::Task::kRegression;
  config.task = tasks::RegressionOptions();
  config.model.layers = {DenseLayer(1)};
  config.optimizer = optim::Sgd{.learning_rate = 1e6};
  config.checkpoints.every_steps = 1;
  config.epochs = 50;
  EXPECT_THAT(Run(config), StatusIs(absl::StatusCode::kOutOfRange,
                                    AllOf(HasSubstr("step"), HasSubstr("not finite"))));
  EXPECT_GT(failed_step_, 1);
  const auto last = checkpoint::LatestCheckpoint(CheckpointRoot(config));
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(last->state.step, failed_step_ - 1);
  for (const checkpoint::FileTensor& tensor : last->model.tensors()) {
    std::vector<float> values(static_cast<size_t>(tensor.shape.elements()));
    ASSERT_TRUE(last->model.Read(tensor, values).ok());
    for (const float value : values) {
      EXPECT_TRUE(std::isfinite(value)) << tensor.name;
    }
  }
}

TEST_F(TrainTest, EarlyStoppingEndsTheRunAndKeepsTheBestWeights) {
  tasks::TrainingConfig config = Points();
  config.data.validation_fraction = 0.2;
  config.epochs = 200;
  config.optimizer = optim::Sgd{.learning_rate = 30};  // jumps about
  config.early_stopping = tasks::EarlyStopping{.patience = 3, .min_delta = 0};
  ASSERT_EQ(Run(config).value(), EndReason::kEarlyStop);
  double best = 1e30;
  int64_t best_step = 0;
  for (const Metrics& metrics : recorder_.metrics) {
    const auto loss = metrics.values.find("validation_loss");
    if (loss != metrics.values.end() && loss->second < best) {
      best = loss->second;
      best_step = metrics.step;
    }
  }
  EXPECT_LT(best_step, recorder_.metrics.back().step);
  const auto kept = Sha256OfFile(
      checkpoint::CheckpointDirectory(CheckpointRoot(config), best_step) + "/model.safetensors");
  EXPECT_EQ(kept.value_or("not kept"), ModelSha(config));
}

}  // namespace
}  // namespace hone::engine::train
