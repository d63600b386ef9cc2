#include "server/scheduler/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/metrics/prometheus.h"
#include "server/scheduler/decide.h"
#include "server/scheduler/executor.h"
#include "server/scheduler/report.h"
#include "server/scheduler/run_metrics.h"
#include "server/store/sqlite_store.h"
#include "tests/support/status_matchers.h"

namespace hone::server::scheduler {
namespace {

using ::hone::testing::IsOk;
using jobs::JobState;
using ::testing::HasSubstr;
using ::testing::Not;

Outcome Finished(const std::string& reason) {
  Outcome outcome;
  outcome.finished.emplace().set_end_reason(reason);
  return outcome;
}

TEST(Decide, CompletedAndExitedWithZeroSucceeds) {
  const Decision decision = Decide(Finished("COMPLETED"), {}, absl::Seconds(1));
  EXPECT_EQ(decision.ending->state, JobState::kSucceeded);
  EXPECT_EQ(decision.ending->reason, v1::Job::COMPLETED);
}

TEST(Decide, FinishedButCrashedAtExitIsACrash) {
  Outcome outcome = Finished("COMPLETED");
  outcome.exit.signal = SIGSEGV;
  EXPECT_TRUE(Decide(outcome, {}, absl::Seconds(1)).requeueing->charged);
}

TEST(Decide, DoneBeforeTheCancellationWasHeardSucceeds) {
  Outcome outcome = Finished("EARLY_STOP");
  outcome.cancelled = true;
  EXPECT_EQ(Decide(outcome, {}, absl::Seconds(1)).ending->state, JobState::kSucceeded);
}

TEST(Decide, KilledAfterACancellationIsCancelledByTheUser) {
  Outcome outcome;
  outcome.cancelled = true;
  outcome.exit.signal = SIGKILL;
  const Decision decision = Decide(outcome, {}, absl::Seconds(1));
  EXPECT_EQ(decision.ending->state, JobState::kCancelled);
  EXPECT_EQ(decision.ending->reason, v1::Job::USER);
}

TEST(Decide, ASigkillFromOutsideCostsNothing) {
  Outcome outcome;
  outcome.exit.signal = SIGKILL;
  EXPECT_FALSE(Decide(outcome, {.failures = 2}, absl::Seconds(1)).requeueing->charged);
}

TEST(Decide, TheOutOfMemoryKillerIsChargedAndNamedAtTheEnd) {
  Outcome outcome;
  outcome.exit.signal = SIGKILL;
  outcome.out_of_memory = true;
  EXPECT_TRUE(Decide(outcome, {}, absl::Seconds(1)).requeueing->charged);
  EXPECT_EQ(Decide(outcome, {.failures = 2}, absl::Seconds(1)).ending->reason,
            v1::Job::OUT_OF_MEMORY);
}

TEST(Decide, OurKillOfASilentWorkerIsCharged) {
  Outcome outcome;
  outcome.exit.signal = SIGKILL;
  outcome.exit.killed_by_us = true;
  outcome.hung = true;
  EXPECT_TRUE(Decide(outcome, {}, absl::Seconds(1)).requeueing->charged);
}

TEST(Decide, APausedJobIsPausedEvenIfItsWorkerHadToBeKilled) {
  Outcome outcome;
  outcome.exit.signal = SIGKILL;
  outcome.exit.killed_by_us = true;
  outcome.paused = true;
  EXPECT_EQ(Decide(outcome, {}, absl::Seconds(1)).ending->state, JobState::kPaused);
}

TEST(Decide, AnOverdueJobFailsWithItsDeadline) {
  Outcome outcome = Finished("CANCELLED");
  outcome.overdue = true;
  const Decision decision = Decide(outcome, {}, absl::Seconds(1));
  EXPECT_EQ(decision.ending->state, JobState::kFailed);
  EXPECT_EQ(decision.ending->reason, v1::Job::DEADLINE);
}

TEST(Decide, ADrainCostsNothing) {
  Outcome outcome = Finished("CANCELLED");
  outcome.draining = true;
  EXPECT_FALSE(Decide(outcome, {}, absl::Seconds(1)).requeueing->charged);
}

TEST(Decide, AFailureOfTheJobIsNeverRetried) {
  Outcome outcome;
  outcome.failure.emplace().set_end_reason("NON_FINITE");
  outcome.failure->set_message("the loss is NaN");
  outcome.failure->set_step(12);
  outcome.exit.code = 1;
  const Decision decision = Decide(outcome, {}, absl::Seconds(1));
  EXPECT_EQ(decision.ending->state, JobState::kFailed);
  EXPECT_EQ(decision.ending->reason, v1::Job::NON_FINITE);
  EXPECT_EQ(decision.ending->message, "the loss is NaN (step 12)");
}

TEST(Decide, TheThirdCrashIsPoisonAndDelaysDoubleBefore) {
  Outcome outcome;
  outcome.exit.signal = SIGABRT;
  EXPECT_EQ(Decide(outcome, {}, absl::Seconds(1)).requeueing->delay, absl::Seconds(1));
  EXPECT_EQ(Decide(outcome, {.failures = 1}, absl::Seconds(1)).requeueing->delay, absl::Seconds(2));
  const Decision last = Decide(outcome, {.failures = 2}, absl::Seconds(1));
  EXPECT_EQ(last.ending->reason, v1::Job::POISON);
  EXPECT_THAT(last.ending->message, HasSubstr("SIGABRT"));
}

TEST(Decide, WhatTheDiskOrTheNetworkFailedIsTriedLaterAndLaterButNotForEver) {
  Outcome outcome;
  outcome.failure.emplace().set_end_reason("STORAGE_FULL");
  outcome.failure->set_infrastructure(true);
  outcome.exit.code = 1;
  const Decision first = Decide(outcome, {.failures = 2}, absl::Seconds(1));
  EXPECT_FALSE(first.requeueing->charged);
  EXPECT_EQ(first.requeueing->delay, absl::Seconds(1));
  EXPECT_EQ(Decide(outcome, {.retries = 3}, absl::Seconds(1)).requeueing->delay, absl::Seconds(8));
  EXPECT_EQ(Decide(outcome, {.retries = 60}, absl::Seconds(1)).requeueing->delay,
            kLongestRetryDelay);
  EXPECT_EQ(Decide(outcome, {.retries = kMaxRetries}, absl::Seconds(1)).ending->reason,
            v1::Job::STORAGE_FULL);
}

v1::Event MetricsEvent(int64_t step, const std::string& name = "loss") {
  v1::Event event;
  event.mutable_metrics()->set_step(step);
  (*event.mutable_metrics()->mutable_values())[name] = static_cast<double>(step);
  return event;
}

TEST(ReportBuffer, MergesPointsOfTheSameCurvesButKeepsOthers) {
  ReportBuffer buffer{jobs::Job()};
  const absl::Duration now = absl::Seconds(100);
  buffer.Add(MetricsEvent(1), now);
  buffer.Add(MetricsEvent(2, "validation_loss"), now);
  buffer.Add(MetricsEvent(3), now);
  ASSERT_EQ(buffer.report().events.size(), 2u);
  EXPECT_EQ(buffer.report().events[0].metrics().step(), 3);
  EXPECT_EQ(buffer.report().latest.values().at("validation_loss"), 2);
}

TEST(ReportBuffer, DropsLogLinesAboveTheRateAndSaysHowMany) {
  ReportBuffer buffer{jobs::Job()};
  const absl::Duration now = absl::Seconds(100);
  v1::Event line;
  line.mutable_log()->set_text("x");
  for (int i = 0; i < ReportBuffer::kLogsPerSecond + 5; ++i) {
    buffer.Add(line, now);
  }
  EXPECT_EQ(buffer.report().events.size(), static_cast<size_t>(ReportBuffer::kLogsPerSecond));
  buffer.Add(line, now + absl::Seconds(1));
  EXPECT_THAT(buffer.report().events[ReportBuffer::kLogsPerSecond].log().text(),
              HasSubstr("5 lines"));
}

TEST(ReportBuffer, KeepsCheckpointsHoweverMany) {
  ReportBuffer buffer{jobs::Job()};
  v1::Event checkpoint;
  checkpoint.mutable_checkpoint();
  for (int i = 0; i < 300; ++i) {
    buffer.Add(checkpoint, absl::Seconds(100));
  }
  EXPECT_EQ(buffer.report().events.size(), 300u);
}

TEST(ReportBuffer, ReplacesAnEventThatNoClientCouldReceive) {
  ReportBuffer buffer{jobs::Job()};
  v1::Event event;
  for (int i = 0; i < 2000; ++i) {
    event.mutable_layer_statistics()->add_layers()->set_name(std::string(1000, 'n'));
  }
  buffer.Add(event, absl::Seconds(100));
  EXPECT_THAT(buffer.report().events.at(0).log().text(), HasSubstr("dropped"));
}

// A store, a scheduler and the scripted worker.
class SchedulerTest : public ::testing::Test {
 protected:
  SchedulerTest()
      : root_(absl::StrCat(::testing::TempDir(), "/sched-", ::getpid(), "-", counter_++)) {
    options_ = {.worker = HONE_SCRIPTED_WORKER,
                .concurrent_jobs = 2,
                .threads = 2,
                .grace = absl::Milliseconds(300),
                .silence = absl::Seconds(20),
                .retry_delay = absl::Milliseconds(10)};
    directory_ = *artifacts::DataDirectory::Open(root_);
    store_ = *store::OpenSqliteStore(directory_->store_path());
    writer_ = std::make_unique<store::Writer>(*store_, [this](const store::LoggedEvent& event) {
      const std::lock_guard lock(mutex_);
      events_.push_back(*event.event);
      changed_.notify_all();
    });
  }
  ~SchedulerTest() override {
    scheduler_.reset();
    writer_.reset();
    store_.reset();
    directory_.reset();
    std::filesystem::remove_all(root_);
  }
  void Start() {
    scheduler_ = std::make_unique<Scheduler>(options_, *writer_, *directory_, registry_);
    scheduler_->Start();
  }
  std::string Insert(const std::string& what) {
    v1::JobSpec spec;
    spec.set_display_name(what);
    spec.mutable_classification();
    const auto job = writer_->Run<jobs::Job>([&](store::JobStore& store) {
      return store.Insert({.id = jobs::NewId(), .spec = spec}, absl::Now());
    });
    if (scheduler_ != nullptr) {
      scheduler_->Wake();
    }
    return job->id;
  }
  // Waits until the job is in a state for which `wanted` holds.
  jobs::Job Await(const std::string& id, const std::function<bool(const jobs::Job&)>& wanted) {
    const absl::Time deadline = absl::Now() + absl::Seconds(15);
    for (;;) {
      const jobs::Job job = *store_->Get(id);
      if (wanted(job)) {
        return job;
      }
      if (absl::Now() > deadline) {
        ADD_FAILURE() << "still " << jobs::StateName(job.state) << ": " << job.message;
        return job;
      }
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  jobs::Job AwaitEnd(const std::string& id) {
    return Await(id, [](const jobs::Job& job) { return jobs::IsEnd(job.state); });
  }
  jobs::Job AwaitFirstStep(const std::string& id) {
    return Await(id, [](const jobs::Job& job) { return job.progress.step() > 0; });
  }
  std::vector<v1::Event> Events(const std::string& id) {
    return store_->ReadEvents(id, 0, 10'000).value();
  }
  void Cancel(const std::string& id) {
    const auto job = writer_->Run<jobs::Job>(
        [&](store::JobStore& store) { return store.RequestCancel(id, absl::Now()); });
    ASSERT_THAT(job, IsOk());
    scheduler_->Stop(id);
  }

  static inline int counter_ = 0;
  const std::string root_;
  SchedulerOptions options_;
  metrics::Registry registry_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<v1::Event> events_;
  std::unique_ptr<artifacts::DataDirectory> directory_;
  std::unique_ptr<store::JobStore> store_;
  std::unique_ptr<store::Writer> writer_;
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(SchedulerTest, AJobThatSucceedsLeavesItsNumbersAndItsModel) {
  Start();
  const jobs::Job job = AwaitEnd(Insert("succeed"));
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.progress.step(), 10);
  EXPECT_EQ(job.evaluation.metrics().at("test_accuracy"), 0.9);
  const auto model = store_->GetModel(job.model_id);
  ASSERT_THAT(model, IsOk());
  ASSERT_EQ(model->files_size(), 2);
  EXPECT_EQ(model->files(1).path(), "weights.bin");
  EXPECT_TRUE(std::filesystem::exists(directory_->ModelDirectory(job.model_id) + "/weights.bin"));
}

TEST_F(SchedulerTest, ItsTimesAreMeasured) {
  Start();
  AwaitEnd(Insert("succeed"));
  scheduler_->Drain();
  const std::string text = metrics::Render(registry_);
  EXPECT_THAT(text, HasSubstr("hone_queue_wait_seconds_count 1\n"));
  EXPECT_THAT(text, HasSubstr("hone_job_duration_seconds_count{task=\"classification\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("hone_job_duration_seconds_count{task=\"regression\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("hone_worker_starts_total{mode=\"train\"} 1\n"));
}

TEST_F(SchedulerTest, ACheckpointThatCouldNotBeWrittenIsCounted) {
  Start();
  AwaitEnd(Insert("disk full"));
  AwaitEnd(Insert("bad data"));
  scheduler_->Drain();
  EXPECT_THAT(metrics::Render(registry_), HasSubstr("hone_checkpoint_failures_total 1\n"));
}

TEST(RunMetrics, TimeIsSpentInThePhaseThatTheWorkerTellsAndUnknownOnesAreOther) {
  metrics::Registry registry;
  RunMetrics run(registry);
  const std::vector<RunMetrics::Worker> workers = {{::getpid(), "training"},
                                                   {::getpid(), "\"made up\""}};
  run.Passed(workers, absl::Seconds(10));
  run.Passed(workers, absl::Seconds(13));
  const std::string text = metrics::Render(registry);
  EXPECT_THAT(text, HasSubstr("hone_phase_seconds_total{phase=\"training\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("hone_phase_seconds_total{phase=\"other\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("hone_phase_seconds_total{phase=\"loading\"} 0\n"));
}

TEST(RunMetrics, MemoryIsThatOfTheWorkersThatAreThere) {
  metrics::Registry registry;
  RunMetrics run(registry);
  EXPECT_GT(ResidentBytes(::getpid()), 1 << 20);
  run.Passed({{::getpid(), "training"}}, absl::Seconds(1));
  EXPECT_THAT(metrics::Render(registry), Not(HasSubstr("hone_engine_memory_bytes 0\n")));
  run.Passed({}, absl::Seconds(1));
  EXPECT_THAT(metrics::Render(registry), HasSubstr("hone_engine_memory_bytes 0\n"));
}

TEST_F(SchedulerTest, TheDataDirectoryKnowsTheBytesOfEachOfItsParts) {
  std::filesystem::create_directories(directory_->ModelDirectory("m"));
  std::ofstream(directory_->ModelDirectory("m") + "/weights.bin") << std::string(1000, 'w');
  std::filesystem::create_symlink("weights.bin", directory_->ModelDirectory("m") + "/again");
  const auto bytes = directory_->BytesByPart();
  EXPECT_EQ(bytes.at("models"), 1000);
  EXPECT_EQ(bytes.at("runs"), 0);
  EXPECT_GT(bytes.at("store"), 0);
}

TEST(Executor, CountsWhatItRefuses) {
  Executor executor(/*threads=*/0, /*max_queued=*/1);
  EXPECT_TRUE(executor.Submit([] {}));
  EXPECT_FALSE(executor.Submit([] {}));
  EXPECT_EQ(executor.refused(), 1);
}

TEST_F(SchedulerTest, ACrashIsTriedAgainFromItsCheckpoint) {
  Start();
  const jobs::Job job = AwaitEnd(Insert("crash once"));
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.attempt, 2);
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

TEST_F(SchedulerTest, ACancelledJobWritesACheckpointFirst) {
  Start();
  const std::string id = Insert("wait");
  AwaitFirstStep(id);
  Cancel(id);
  EXPECT_EQ(AwaitEnd(id).state, JobState::kCancelled);
  bool checkpointed = false;
  for (const v1::Event& event : Events(id)) {
    checkpointed = checkpointed || event.has_checkpoint();
  }
  EXPECT_TRUE(checkpointed);
}

TEST_F(SchedulerTest, AJobKilledFromOutsideFourTimesStillSucceeds) {
  Start();
  const jobs::Job job = AwaitEnd(Insert("killed four times"));
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.attempt, 5);
  EXPECT_EQ(job.failures, 0);
}

TEST_F(SchedulerTest, APausedJobWritesACheckpointWaitsAndGoesOn) {
  Start();
  const std::string id = Insert("wait once then succeed");
  AwaitFirstStep(id);
  ASSERT_THAT(writer_->Run<jobs::Job>(
                  [&](store::JobStore& store) { return store.RequestPause(id, absl::Now()); }),
              IsOk());
  scheduler_->Stop(id);
  Await(id, [](const jobs::Job& job) { return job.state == JobState::kPaused; });
  ASSERT_THAT(writer_->Run<jobs::Job>(
                  [&](store::JobStore& store) { return store.Resume(id, absl::Now()); }),
              IsOk());
  scheduler_->Wake();
  const jobs::Job job = AwaitEnd(id);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.attempt, 2);
}

TEST_F(SchedulerTest, ARunningJobEndsAtItsDeadline) {
  Start();
  v1::JobSpec spec;
  spec.set_display_name("wait");
  spec.mutable_classification();
  spec.set_deadline_seconds(0.5);
  const auto job = writer_->Run<jobs::Job>([&](store::JobStore& store) {
    return store.Insert({.id = jobs::NewId(), .spec = spec}, absl::Now());
  });
  scheduler_->Wake();
  const jobs::Job ended = AwaitEnd(job->id);
  EXPECT_EQ(ended.state, JobState::kFailed);
  EXPECT_EQ(ended.end_reason, v1::Job::DEADLINE);
}

TEST_F(SchedulerTest, AForgottenJobLeavesNoFilesAndNoEvents) {
  Start();
  const std::string id = Insert("bad data");
  AwaitEnd(id);
  ASSERT_THAT(writer_->RunStatus([&](store::JobStore& store) { return store.Delete(id); }), IsOk());
  scheduler_->Forget(id);
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (std::filesystem::exists(root_ + "/runs/" + id) && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_FALSE(std::filesystem::exists(root_ + "/runs/" + id));
  EXPECT_TRUE(Events(id).empty());
}

TEST_F(SchedulerTest, AWorkerThatIgnoresTheSignalIsKilledAfterTheGrace) {
  Start();
  const std::string id = Insert("hang");
  Await(id, [](const jobs::Job& job) { return job.last_sequence >= 3; });
  const absl::Time begin = absl::Now();
  Cancel(id);
  EXPECT_EQ(AwaitEnd(id).state, JobState::kCancelled);
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(290));
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
  const jobs::Job job = AwaitEnd(Insert("flood"));
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.latest.values().at("loss"), 20'000);
  EXPECT_LT(job.last_sequence, 2000);
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
  EXPECT_THAT(job.message, HasSubstr("no folder of the run"));
}

class BrokenPipe : public SchedulerTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(BrokenPipe, CountsAsACrash) {
  Start();
  EXPECT_EQ(AwaitEnd(Insert(GetParam())).end_reason, v1::Job::POISON);
}

INSTANTIATE_TEST_SUITE_P(Frames, BrokenPipe,
                         ::testing::Values("garbage", "huge frame", "cut off", "without a word"));

TEST_F(SchedulerTest, ADrainQueuesTheJobAndTheNextStartResumesIt) {
  Start();
  const std::string id = Insert("wait once then succeed");
  AwaitFirstStep(id);
  scheduler_->Drain();
  const jobs::Job drained = *store_->Get(id);
  EXPECT_EQ(drained.state, JobState::kQueued);
  EXPECT_EQ(drained.failures, 0);
  Start();
  EXPECT_EQ(AwaitEnd(id).state, JobState::kSucceeded);
  bool resumed = false;
  for (const v1::Event& event : Events(id)) {
    resumed = resumed || event.started().resumed_from_step() == 3;
  }
  EXPECT_TRUE(resumed);
}

TEST_F(SchedulerTest, NoMoreJobsRunThanTheLimitAllows) {
  options_.concurrent_jobs = 1;
  Start();
  const std::string first = Insert("wait");
  const std::string second = Insert("wait");
  AwaitFirstStep(first);
  EXPECT_EQ(store_->Get(second)->state, JobState::kQueued);
  EXPECT_EQ(store_->Get(second)->queue_position, 1);
  Cancel(first);
  AwaitFirstStep(second);
}

TEST(DataDirectory, IsLockedAgainstASecondServer) {
  const std::string root = absl::StrCat(::testing::TempDir(), "/lock-", ::getpid());
  const auto first = artifacts::DataDirectory::Open(root);
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(
      artifacts::DataDirectory::Open(root).status(),
      ::hone::testing::StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("in use")));
  std::filesystem::remove_all(root);
}

TEST(DataDirectory, TheNextAttemptFindsWhatTheLastOneLeft) {
  const std::string root = absl::StrCat(::testing::TempDir(), "/attempt-", ::getpid());
  const auto directory = artifacts::DataDirectory::Open(root);
  const std::string first = *(*directory)->PrepareAttempt("job", 1);
  std::filesystem::create_directory(first + "/checkpoint");
  const std::string second = *(*directory)->PrepareAttempt("job", 2);
  EXPECT_TRUE(std::filesystem::exists(second + "/checkpoint"));
  EXPECT_FALSE(std::filesystem::exists(first));
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace hone::server::scheduler
