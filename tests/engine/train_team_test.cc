// What a run asks of the threads it computes on.
#include <gmock/gmock.h>

#include "tests/engine/train_testing.h"
#include "tests/support/denormals.h"
#include "tests/support/status_matchers.h"

namespace hone::engine::train {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::OnANewThread;
using ::hone::testing::StatusIs;
using ::hone::testing::ThreadsWithDenormals;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

TEST_F(TrainTest, EveryThreadFlushesDenormalsInEveryAttempt) {
  tasks::TrainingConfig config = Points();
  config.layer_statistics_every = 1;
  config.resume = true;
  config.steps = 6;
  std::vector<int> with_denormals;  // after each step
  recorder_.on_step = [&](int64_t step) {
    with_denormals.push_back(ThreadsWithDenormals(2));
    stop_ = step == 3;
  };
  OnANewThread([&] { EXPECT_EQ(Run(config).value(), EndReason::kCancelled); });
  stop_ = false;
  OnANewThread([&] { EXPECT_EQ(Run(config).value(), EndReason::kCompleted); });
  EXPECT_THAT(with_denormals, AllOf(SizeIs(6), Each(0)));
}

TEST_F(TrainTest, EveryThreadFlushesDenormalsInAnEvaluation) {
  std::vector<int> with_denormals;
  recorder_.on_progress = [&](const std::string& phase) {
    if (phase == "evaluating") {
      with_denormals.push_back(ThreadsWithDenormals(2));
    }
  };
  OnANewThread([&] { EXPECT_THAT(Run(Points()), IsOk()); });
  EXPECT_THAT(with_denormals, AllOf(Not(IsEmpty()), Each(0)));
}

// As under OMP_THREAD_LIMIT=1, where the threads would wait for ever for those that are missing.
TEST_F(TrainTest, AJobWithMoreThreadsThanTheRuntimeGivesIsRefused) {
  absl::Status status;
#pragma omp teams num_teams(1) thread_limit(1)
  status = Run(Points()).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("OpenMP gives this process 1 of 2 threads")));
}

}  // namespace
}  // namespace hone::engine::train
