// What becomes of jobs whose workers crash, hang, stop, lie and flood, and whose store or disk
// fails.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "engine/base/steady_clock.h"
#include "server/metrics/prometheus.h"
#include "server/scheduler/report.h"
#include "server/worker_process/worker_process.h"
#include "tests/server/scheduler_testing.h"

namespace hone::server::scheduler {
namespace {

using jobs::JobState;
using ::testing::HasSubstr;

TEST_F(SchedulerTest, ACheckpointThatCouldNotBeWrittenIsCounted) {
  Start();
  AwaitEnd(Insert("disk full"));
  AwaitEnd(Insert("bad data"));
  scheduler_->Drain();
  EXPECT_THAT(metrics::Render(registry_), HasSubstr("hone_checkpoint_failures_total 1\n"));
}

TEST_F(SchedulerTest, ACrashIsTriedAgainFromItsCheckpoint) {
  Start();
  const jobs::Job job = AwaitEnd(Insert("crash once"));
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.attempt, 2);
}

TEST_F(SchedulerTest, AWorkerIsToldOfTheNewestCheckpointOfItsJob) {
  const std::string id = Insert("checkpoint and crash, then say what it was told");
  Start();
  EXPECT_EQ(AwaitEnd(id).message, "told of step 7");
}

TEST_F(SchedulerTest, AJobsWorkerMayUseItsShareOfTheMemoryAndALittleToReserve) {
  options_.memory_bytes_per_job = int64_t{1} << 30;
  Start();
  EXPECT_EQ(AwaitEnd(Insert("say its limit")).message,
            absl::StrCat((int64_t{1} << 30) + worker_process::kUnusedBytes));
}

TEST_F(SchedulerTest, AJobThatAlwaysCrashesEndsAsPoisonAndOthersRun) {
  Start();
  const std::string bad = Insert("crash");
  const std::string good = Insert("succeed");
  const jobs::Job job = AwaitEnd(bad);
  EXPECT_EQ(job.end_reason, v1::Job::POISON);
  EXPECT_EQ(job.attempt, kMaxFailures);
  EXPECT_EQ(AwaitEnd(good).state, JobState::kSucceeded);
}

TEST_F(SchedulerTest, BadDataFailsAtOnceWithTheWorkersWords) {
  Start();
  const jobs::Job job = AwaitEnd(Insert("bad data"));
  EXPECT_EQ(job.end_reason, v1::Job::BAD_DATA);
  EXPECT_EQ(job.message, "line 7: no label");
  EXPECT_EQ(job.attempt, 1);
}

TEST_F(SchedulerTest, AJobKilledFromOutsideFourTimesStillSucceeds) {
  Start();
  const jobs::Job job = AwaitEnd(Insert("killed four times"));
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.attempt, 5);
  EXPECT_EQ(job.failures, 0);
}

TEST_F(SchedulerTest, AWorkerThatIgnoresTheSignalIsKilledAfterTheGrace) {
  options_.grace = absl::Milliseconds(300);
  Start();
  const std::string id = Insert("hang");
  Await(id, [](const jobs::Job& job) { return job.last_sequence >= 3; });
  Cancel(id);
  EXPECT_EQ(AwaitEnd(id).state, JobState::kCancelled);
}

TEST_F(SchedulerTest, ASilentWorkerEndsAsHung) {
  options_.silence = absl::Milliseconds(200);
  Start();
  EXPECT_EQ(AwaitEnd(Insert("hang")).end_reason, v1::Job::HUNG);
}

TEST_F(SchedulerTest, AWorkerThatIsAliveButDoesNotGetOnEndsAsHung) {
  options_.stall = absl::Milliseconds(200);
  Start();
  const jobs::Job job = AwaitEnd(Insert("alive but stuck"));
  EXPECT_EQ(job.end_reason, v1::Job::HUNG);
  EXPECT_EQ(job.attempt, kMaxFailures);
}

TEST_F(SchedulerTest, AFullDiskCostsTheJobNothing) {
  Start();
  const jobs::Job job = AwaitEnd(Insert("full disk twice"));
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.attempt, 3);
  EXPECT_EQ(job.failures, 0);
}

TEST_F(SchedulerTest, AWorkerThatCannotBeStartedIsTriedAgain) {
  const std::string worker = options_.worker;
  options_.worker = root_ + "/later";
  Start();
  const std::string id = Insert("succeed");
  Await(id, [](const jobs::Job& job) { return job.attempt >= 2; });
  std::filesystem::create_symlink(worker, options_.worker);
  EXPECT_EQ(AwaitEnd(id).state, JobState::kSucceeded);
}

TEST_F(SchedulerTest, AFloodEndsWellAndLeavesALogOfBoundedSize) {
  Start();
  const absl::Duration begin = SteadyNow();
  const jobs::Job job = AwaitEnd(Insert("flood"));
  const double seconds = absl::ToDoubleSeconds(SteadyNow() - begin);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.latest.values().at("loss"), 20'000);
  // In each second so many lines, one that says how many were dropped, and four points.
  EXPECT_LE(static_cast<double>(job.last_sequence),
            (seconds + 2) * (ReportBuffer::kLogsPerSecond + 5) + 10);
}

TEST_F(SchedulerTest, NumbersAreCheckedAndStatesAreNotTheWorkersToSay) {
  Start();
  const std::string id = Insert("lying numbers");
  AwaitEnd(id);
  int states = 0;
  for (const v1::Event& event : Events(id)) {
    states += event.has_state() ? 1 : 0;
    if (event.has_metrics()) {
      EXPECT_EQ(event.metrics().values().count("loss"), 0u);
      EXPECT_EQ(event.metrics().non_finite(0), "loss");
    }
  }
  EXPECT_EQ(states, 3);  // queued, running, ended
}

TEST_F(SchedulerTest, AModelOutsideTheRunIsNotPublished) {
  Start();
  const jobs::Job job = AwaitEnd(Insert("escaping model"));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(job.message, HasSubstr("not a folder of the run"));
}

class BrokenPipe : public SchedulerTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(BrokenPipe, CountsAsACrash) {
  Start();
  EXPECT_EQ(AwaitEnd(Insert(GetParam())).end_reason, v1::Job::POISON);
}

INSTANTIATE_TEST_SUITE_P(Frames, BrokenPipe,
                         ::testing::Values("garbage", "huge frame", "cut off", "without a word"));

// The scheduler's own writes fail for a while; the disk of the store is full, say.
TEST_F(SchedulerTest, AJobWaitsForAStoreThatCannotBeWrittenAndIsClaimedThen) {
  failing_store_->Fail(true);
  Start();
  const std::string id = Insert("succeed");
  AwaitFailures(3);
  EXPECT_EQ(store_->Get(id)->state, JobState::kQueued);
  failing_store_->Fail(false);
  const jobs::Job job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.attempt, 1);
}

TEST_F(SchedulerTest, WhatARunTellsWhileTheStoreCannotBeWrittenIsWrittenLater) {
  Start();
  failing_store_->FailAfterClaim();
  const std::string id = Insert("succeed");
  AwaitFailures(3);
  EXPECT_EQ(store_->Get(id)->state, JobState::kRunning);
  EXPECT_EQ(Events(id).size(), 2u);  // queued, running
  failing_store_->Fail(false);
  const jobs::Job job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.attempt, 1);
  EXPECT_EQ(job.progress.step(), 10);
  EXPECT_EQ(job.evaluation.metrics().at("test_accuracy"), 0.9);
  EXPECT_THAT(store_->GetModel(job.model_id), IsOk());
}

TEST_F(SchedulerTest, AStoreThatCannotBeWrittenIsAskedTwiceASecondAndToldOfOnceAMinute) {
  ::testing::internal::CaptureStdout();
  const absl::Duration begin = SteadyNow();
  Start();
  failing_store_->FailAfterClaim();
  const std::string id = Insert("succeed");
  AwaitFailures(8);
  const double seconds = absl::ToDoubleSeconds(SteadyNow() - begin);
  const int failures = failing_store_->failures();
  failing_store_->Fail(false);
  AwaitEnd(id);
  scheduler_->Drain();
  // Each time: a claim, the house, the events and the end.
  EXPECT_LE(failures, 4 * (2 * seconds + 1));
  const std::vector<std::string> lines =
      absl::StrSplit(::testing::internal::GetCapturedStdout(), '\n');
  const auto told = std::count_if(lines.begin(), lines.end(), [](const std::string& line) {
    return absl::StrContains(line, FailingStore::kWhy);
  });
  EXPECT_GE(told, 1);
  EXPECT_LE(static_cast<double>(told), 1 + seconds / 60);
}

}  // namespace
}  // namespace hone::server::scheduler
