#include <gmock/gmock.h>

#include "tests/engine/train_testing.h"
#include "tests/support/status_matchers.h"

// A job whose backward pass computes parts of the forward pass again.
namespace hone::engine::train {
namespace {

using ::hone::testing::StatusIs;
using ::testing::Contains;
using ::testing::HasSubstr;

TEST_F(TrainTest, AJobThatIsShortOfMemoryComputesAgainWithTheSameBits) {
  tasks::TrainingConfig config = Points();
  config.batch_size = 64;
  config.model.layers.assign(16, DenseLayer(64, kRelu));
  config.model.layers.push_back(DenseLayer(3));
  const auto run = [&](tasks::Recompute recompute, int64_t memory_bytes) {
    config.run_directory = NewRun();
    config.recompute = recompute;
    config.memory_bytes = memory_bytes;
    EXPECT_EQ(Run(config).value(), EndReason::kCompleted);
    return ModelSha(config);
  };
  const std::string kept = run(tasks::Recompute::kNever, 0);
  const job::Plan all = recorder_.started.back().plan;
  EXPECT_FALSE(all.recomputes);
  EXPECT_EQ(run(tasks::Recompute::kAlways, 0), kept);
  const job::Plan less = recorder_.started.back().plan;
  EXPECT_LT(less.arena_bytes, all.arena_bytes);
  const int64_t between =
      all.parameter_bytes + all.optimizer_bytes + (all.arena_bytes + less.arena_bytes) / 2;
  recorder_.infos.clear();
  EXPECT_EQ(run(tasks::Recompute::kWhenNeeded, between), kept);
  EXPECT_THAT(recorder_.infos, Contains(HasSubstr("memory is short")));
  EXPECT_TRUE(recorder_.started.back().plan.recomputes);
  EXPECT_EQ(recorder_.started.back().plan.arena_bytes, less.arena_bytes);
}

TEST_F(TrainTest, AJobThatNeverComputesAgainIsToldThatItCould) {
  tasks::TrainingConfig config = Points();
  config.batch_size = 64;
  config.model.layers.assign(16, DenseLayer(64, kRelu));
  config.model.layers.push_back(DenseLayer(3));
  ASSERT_EQ(Run(config).value(), EndReason::kCompleted);
  const job::Plan plan = recorder_.started.back().plan;
  config.run_directory = NewRun();
  config.recompute = tasks::Recompute::kNever;
  config.memory_bytes = plan.parameter_bytes + plan.optimizer_bytes + plan.arena_bytes / 2;
  EXPECT_THAT(Run(config), StatusIs(absl::StatusCode::kInvalidArgument,
                                    HasSubstr("training.recompute=WHEN_NEEDED")));
}

}  // namespace
}  // namespace hone::engine::train
