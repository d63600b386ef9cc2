#include "server/scheduler/scheduler.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "server/metrics/prometheus.h"
#include "tests/server/scheduler_testing.h"

namespace hone::server::scheduler {
namespace {

using jobs::JobState;
using ::testing::HasSubstr;

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

// A start that takes longer than the deadline shows nothing of a job that runs: another one has
// twice the time.
TEST_F(SchedulerTest, ARunningJobEndsAtItsDeadline) {
  Start();
  jobs::Job job;
  for (double seconds = 0.5; seconds < 60 && job.progress.step() == 0; seconds *= 2) {
    job = AwaitEnd(Insert("wait", seconds));
    EXPECT_EQ(job.state, JobState::kFailed);
    EXPECT_EQ(job.end_reason, v1::Job::DEADLINE);
  }
  EXPECT_GT(job.progress.step(), 0);
}

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

TEST_F(SchedulerTest, AJobThatAsksForMoreThreadsThanThereAreHoldsUpNoOther) {
  store::NewJob large{.id = "large", .threads = 3};
  large.spec.mutable_classification();
  large.spec.mutable_training()->set_threads(3);
  ASSERT_THAT(Store(large), IsOk());
  const std::string small = Insert("");
  Start();
  EXPECT_EQ(AwaitEnd(small).state, JobState::kSucceeded);
  const jobs::Job held = *store_->Get("large");
  EXPECT_EQ(held.state, JobState::kQueued);
  EXPECT_EQ(held.message, "it cannot be started here: it asks for 3 threads, the server has 2");
}

TEST_F(SchedulerTest, AJobThatNeedsMoreMemoryThanItsShareHoldsUpNoOther) {
  options_.memory_bytes_per_job = int64_t{64} << 20;
  store::NewJob large{.id = "large"};
  large.spec.mutable_classification();
  large.plan.set_peak_memory_bytes(int64_t{100} << 20);
  ASSERT_THAT(Store(large), IsOk());
  const std::string small = Insert("");
  Start();
  EXPECT_EQ(AwaitEnd(small).state, JobState::kSucceeded);
  EXPECT_THAT(store_->Get("large")->message, ::testing::HasSubstr("101 MiB"));
}

TEST_F(SchedulerTest, AJobWhoseDataSetIsGoneIsHeldWithTheReasonAndHoldsUpNoOther) {
  options_.concurrent_jobs = 1;
  options_.dataset_path = [](const std::string& id) -> absl::StatusOr<std::string> {
    if (id == "first") {
      return absl::FailedPreconditionError("the bytes of its data set are gone");
    }
    return "";
  };
  store::NewJob first{.id = "first"};
  first.spec.mutable_classification();
  ASSERT_THAT(Store(first), IsOk());
  const std::string second = Insert("");
  Start();
  EXPECT_EQ(AwaitEnd(second).state, JobState::kSucceeded);
  const jobs::Job held = *store_->Get("first");
  EXPECT_EQ(held.state, JobState::kQueued);
  EXPECT_EQ(held.queue_position, 0);
  EXPECT_EQ(held.attempt, 1);
  EXPECT_THAT(held.message, HasSubstr("the bytes of its data set are gone"));
}

TEST_F(SchedulerTest, AJobThatNamesNoNumberOfThreadsRunsWithThoseThatThereAre) {
  store::NewJob large{.id = "large", .threads = 3};
  large.spec.mutable_classification();
  ASSERT_THAT(Store(large), IsOk());
  Start();
  EXPECT_EQ(AwaitEnd("large").state, JobState::kSucceeded);
  EXPECT_EQ(store_->Get("large")->threads, 2);
}

TEST_F(SchedulerTest, AJobThatMayTakeTheServerDownRunsAlone) {
  const std::string suspect = Insert("wait");
  for (int i = 0; i < store::kRecoveriesBeforeAlone; ++i) {
    ASSERT_TRUE(store_->Claim(1, absl::Now())->has_value());
    ASSERT_EQ(*store_->Recover(absl::Now()), 1);
  }
  const std::string other = Insert("wait");
  Start();
  Await(suspect, [](const jobs::Job& job) { return job.progress.step() > 5; });
  EXPECT_EQ(store_->Get(other)->state, JobState::kQueued);
  Cancel(suspect);
  AwaitFirstStep(other);
}

TEST_F(SchedulerTest, AJobThatMayTakeTheServerDownWaitsUntilNothingRuns) {
  const std::string suspect = Insert("wait");
  for (int i = 0; i < store::kRecoveriesBeforeAlone; ++i) {
    ASSERT_TRUE(store_->Claim(1, absl::Now())->has_value());
    ASSERT_EQ(*store_->Recover(absl::Now()), 1);
  }
  store::NewJob urgent{.id = "urgent"};
  urgent.spec.set_display_name("wait");
  urgent.spec.mutable_classification();
  urgent.spec.set_priority(1);
  ASSERT_THAT(Store(urgent), IsOk());
  Start();
  Await("urgent", [](const jobs::Job& job) { return job.progress.step() > 5; });
  EXPECT_EQ(store_->Get(suspect)->state, JobState::kQueued);
  Cancel("urgent");
  AwaitFirstStep(suspect);
}

// A job whose folder is prepared until the test says so.
class SlowFolderTest : public SchedulerTest {
 protected:
  SlowFolderTest() {
    options_.slow_folder = absl::Milliseconds(10);
    options_.dataset_path = [this](const std::string& id) {
      if (id == "slow") {
        Set(reached_);
        go_.wait(false);
      }
      return "";
    };
  }
  void InsertSlow(const std::string& what) {
    store::NewJob job{.id = "slow"};
    job.spec.set_display_name(what);
    job.spec.mutable_classification();
    ASSERT_THAT(Store(job), IsOk());
  }

  static void Set(std::atomic_flag& flag) {
    flag.test_and_set();
    flag.notify_all();
  }

  std::atomic_flag reached_, go_;
};

TEST_F(SlowFolderTest, HoldsUpNoOtherJob) {
  InsertSlow("succeed");
  Start();
  reached_.wait(false);
  EXPECT_EQ(AwaitEnd(Insert("succeed")).state, JobState::kSucceeded);
  Set(go_);
  EXPECT_EQ(AwaitEnd("slow").state, JobState::kSucceeded);
}

TEST_F(SlowFolderTest, ACancellationMeanwhileIsToldToItsWorker) {
  InsertSlow("wait");
  Start();
  reached_.wait(false);
  Cancel("slow");
  Set(go_);
  EXPECT_EQ(AwaitEnd("slow").state, JobState::kCancelled);
}

TEST_F(SlowFolderTest, ADrainMeanwhilePutsTheJobBackIntoTheQueue) {
  InsertSlow("wait");
  Start();
  reached_.wait(false);
  scheduler_->BeginDrain();
  Set(go_);
  scheduler_->Drain();
  EXPECT_EQ(store_->Get("slow")->state, JobState::kQueued);
  EXPECT_EQ(store_->Get("slow")->retries, 0);
}

// A file that nobody else can open while this lives: who tries waits.
class Leased {
 public:
  explicit Leased(const std::string& path)
      : was_(::signal(SIGIO, SIG_IGN)), fd_(::open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    held_ = ::fcntl(fd_, F_SETLEASE, F_WRLCK) == 0;
  }
  ~Leased() {
    ::close(fd_);
    ::signal(SIGIO, was_);
  }
  Leased(const Leased&) = delete;
  Leased& operator=(const Leased&) = delete;

  bool held() const { return held_; }
  // Somebody waits.
  bool IsWanted() const { return ::fcntl(fd_, F_GETLEASE) != F_WRLCK; }

 private:
  void (*was_)(int);
  const int fd_;
  bool held_ = false;
};

TEST_F(SchedulerTest, AModelThatIsPublishedSlowlyHoldsUpNoOtherJob) {
  Start();
  const std::string slow = Insert("publish when told");
  Await(slow, [&](const jobs::Job&) {
    const std::vector<v1::Event> events = Events(slow);
    return std::ranges::any_of(events, [](const v1::Event& event) { return event.has_artifact(); });
  });
  const std::string run = *directory_->PrepareAttempt(slow, 1);
  auto model = std::make_unique<Leased>(run + "/model/weights.bin");
  if (!model->held()) {
    GTEST_SKIP() << "the file system of " << run << " has no leases";
  }
  std::ofstream(run + "/go").close();
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (!model->IsWanted() && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_TRUE(model->IsWanted());
  EXPECT_EQ(AwaitEnd(Insert("succeed")).state, JobState::kSucceeded);
  EXPECT_FALSE(jobs::IsEnd(store_->Get(slow)->state));
  model.reset();
  EXPECT_EQ(AwaitEnd(slow).state, JobState::kSucceeded);
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

}  // namespace
}  // namespace hone::server::scheduler
