// A scheduler whose store, machine or workers fail it.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/metrics/prometheus.h"
#include "server/scheduler/scheduler.h"
#include "server/store/sqlite_store.h"
#include "tests/server/sqlite_faults.h"
#include "tests/support/status_matchers.h"

namespace hone::server::scheduler {
namespace {

using ::hone::testing::IsOk;
using jobs::JobState;

class SchedulerFaultsTest : public ::testing::Test {
 protected:
  SchedulerFaultsTest()
      : root_(absl::StrCat(::testing::TempDir(), "/sched-faults-", ::getpid(), "-", counter_++)) {
    options_ = {.worker = HONE_SCRIPTED_WORKER,
                .concurrent_jobs = 2,
                .threads = 2,
                .grace = absl::Milliseconds(300),
                .silence = absl::Seconds(60),
                .retry_delay = absl::Milliseconds(10)};
    directory_ = *artifacts::DataDirectory::Open(root_);
    store_ = *store::OpenSqliteStore(directory_->store_path());
    sqlite3_busy_timeout(connections_.writer(), 0);
    other_ = std::make_unique<store::OtherConnection>(directory_->store_path());
    writer_ = std::make_unique<store::Writer>(
        *store_, [](const store::LoggedEvent&) {},
        store::Writer::Observer{.failed = [this] { ++failed_writes_; }});
  }
  ~SchedulerFaultsTest() override {
    scheduler_.reset();
    writer_.reset();
    store_.reset();
    other_.reset();
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
  static void Until(const std::function<bool()>& reached, const std::string& what) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (!reached()) {
      ASSERT_LT(absl::Now(), deadline) << what;
      absl::SleepFor(absl::Milliseconds(5));
    }
  }
  void AwaitFailedWrites(int more) {
    const int wanted = failed_writes_ + more;
    Until([&] { return failed_writes_ >= wanted; }, "the writes do not fail");
  }
  jobs::Job Await(const std::string& id, const std::function<bool(const jobs::Job&)>& wanted) {
    Until([&] { return wanted(*store_->Get(id)); }, "the job does not get there");
    return *store_->Get(id);
  }
  jobs::Job AwaitEnd(const std::string& id) {
    return Await(id, [](const jobs::Job& job) { return jobs::IsEnd(job.state); });
  }
  jobs::Job AwaitFirstStep(const std::string& id) {
    return Await(id, [](const jobs::Job& job) { return job.progress.step() > 0; });
  }

  static inline int counter_ = 0;
  const std::string root_;
  SchedulerOptions options_;
  metrics::Registry registry_;
  std::atomic<int> failed_writes_ = 0;
  store::OpenedConnections connections_;
  std::unique_ptr<artifacts::DataDirectory> directory_;
  std::unique_ptr<store::JobStore> store_;
  std::unique_ptr<store::OtherConnection> other_;
  std::unique_ptr<store::Writer> writer_;
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(SchedulerFaultsTest, AnEndThatTheStoreCannotTakeIsWrittenWhenItCan) {
  other_->Break("UPDATE OF state ON job WHEN NEW.state = 'SUCCEEDED'");
  Start();
  const std::string id = Insert("succeed");
  AwaitFailedWrites(1);
  other_->Run("DROP TRIGGER fault");
  EXPECT_EQ(AwaitEnd(id).state, JobState::kSucceeded);
}

TEST_F(SchedulerFaultsTest, EventsThatTheStoreCannotTakeCostTheJobNoAttempt) {
  other_->Break("UPDATE OF progress ON job");
  Start();
  const std::string id = Insert("succeed");
  const auto failed = [&] {
    return metrics::Render(registry_).find("hone_store_errors_total 1") != std::string::npos;
  };
  Until(failed, "nothing fails");
  other_->Run("DROP TRIGGER fault");
  EXPECT_EQ(AwaitEnd(id).attempt, 1);
}

TEST_F(SchedulerFaultsTest, AWorkerThatCannotBeStartedLeavesTheRestOfTheQueueWhereItIs) {
  options_.worker = root_ + "/missing";
  options_.retry_delay = absl::Hours(1);
  const std::string first = Insert("succeed");
  const std::string second = Insert("succeed");
  Start();
  Await(first,
        [](const jobs::Job& job) { return job.attempt == 1 && job.state == JobState::kQueued; });
  EXPECT_EQ(store_->Get(second)->attempt, 0);
}

TEST_F(SchedulerFaultsTest, AWorkerThatCannotBeStartedIsNoRetryOfTheJob) {
  options_.worker = root_ + "/missing";
  const std::string id = Insert("succeed");
  Start();
  EXPECT_EQ(Await(id, [](const jobs::Job& job) { return job.attempt == 3; }).retries, 0);
}

TEST_F(SchedulerFaultsTest, AJobWhoseOwnFolderKeepsItFromStartingHoldsUpNoOther) {
  options_.concurrent_jobs = 1;
  options_.retry_delay = absl::Milliseconds(200);
  const std::string first = Insert("succeed"), second = Insert("succeed");
  std::filesystem::create_directories(*directory_->PrepareAttempt(first, 1) + "/request.pb");
  Start();
  EXPECT_EQ(AwaitEnd(second).state, JobState::kSucceeded);
  EXPECT_FALSE(jobs::IsEnd(store_->Get(first)->state));
}

TEST_F(SchedulerFaultsTest, ACancellationIsToldAlsoWhereTheStoreFailedMeanwhile) {
  Start();
  const std::string id = Insert("wait");
  AwaitFirstStep(id);
  ASSERT_THAT(writer_->Run<jobs::Job>(
                  [&](store::JobStore& store) { return store.RequestCancel(id, absl::Now()); }),
              IsOk());
  other_->Run("BEGIN IMMEDIATE");
  scheduler_->Stop(id);
  AwaitFailedWrites(10);  // more than a turn has
  other_->Run("ROLLBACK");
  EXPECT_EQ(AwaitEnd(id).state, JobState::kCancelled);
}

// Takes a process so that nobody else sees it die, until it leaves; like one that waits for a disk.
class Holder {
 public:
  explicit Holder(pid_t held) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    pid_ = fork();
    if (pid_ == 0) {
      const char holds = ptrace(PTRACE_SEIZE, held, nullptr, nullptr) == 0 ? 'y' : 'n';
      (void)!write(ready[1], &holds, 1);
      for (;;) {
        pause();
      }
    }
    char holds = 'n';
    (void)!read(ready[0], &holds, 1);
    holds_ = holds == 'y';
    close(ready[0]);
    close(ready[1]);
  }
  ~Holder() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  bool holds() const { return holds_; }

 private:
  pid_t pid_ = -1;
  bool holds_ = false;
};

// The worker of a job, by its request's path.
pid_t FindWorker(const std::string& job_id) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline", std::ios::binary);
    const std::string line((std::istreambuf_iterator<char>(file)), {});
    if (line.find("/runs/" + job_id + "/") != std::string::npos) {
      return std::stoi(entry.path().filename().string());
    }
  }
  return -1;
}

TEST_F(SchedulerFaultsTest, TheLogSaysWhatBecameOfTheJobWhereAWishCameFirst) {
  Start();
  const std::string id = Insert("wait");
  AwaitFirstStep(id);
  ASSERT_THAT(writer_->Run<jobs::Job>(
                  [&](store::JobStore& store) { return store.RequestCancel(id, absl::Now()); }),
              IsOk());
  ::testing::internal::CaptureStdout();
  kill(FindWorker(id), SIGKILL);
  AwaitEnd(id);
  scheduler_->Drain();
  EXPECT_THAT(::testing::internal::GetCapturedStdout(), ::testing::HasSubstr("state=CANCELLED"));
}

TEST_F(SchedulerFaultsTest, AWorkerThatDoesNotDieHoldsUpNoOtherJob) {
  Start();
  const std::string stuck = Insert("hang");
  Await(stuck, [](const jobs::Job& job) { return job.last_sequence >= 3; });
  auto holder = std::make_unique<Holder>(FindWorker(stuck));
  if (!holder->holds()) {
    GTEST_SKIP() << "may not trace processes";
  }
  ASSERT_THAT(writer_->Run<jobs::Job>(
                  [&](store::JobStore& store) { return store.RequestCancel(stuck, absl::Now()); }),
              IsOk());
  scheduler_->Stop(stuck);
  const auto dead = [pid = FindWorker(stuck)] {
    std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
    const std::string line((std::istreambuf_iterator<char>(file)), {});
    return pid < 0 || line.find(") Z ") != std::string::npos;
  };
  Until(dead, "it is not killed");
  EXPECT_EQ(AwaitEnd(Insert("succeed")).state, JobState::kSucceeded);
  EXPECT_EQ(store_->Get(stuck)->state, JobState::kCancelling);
  holder.reset();
  EXPECT_EQ(AwaitEnd(stuck).state, JobState::kCancelled);
}

TEST(KillsFromOutside, NeverBringAJobNearTheLimitOfRetries) {
  Outcome outcome;
  outcome.exit.signal = SIGKILL;
  Record record;
  for (int kill = 0; kill < kMaxRetries; ++kill) {
    record.retries += Decide(outcome, record, absl::Seconds(2)).requeueing->retry ? 1 : 0;
  }
  EXPECT_LT(record.retries, kMaxRetries / 2);
}

}  // namespace
}  // namespace hone::server::scheduler
