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

#include "server/metrics/prometheus.h"
#include "tests/server/scheduler_testing.h"
#include "tests/server/sqlite_faults.h"

namespace hone::server::scheduler {
namespace {

using jobs::JobState;

// Sees the connections that the store opens, so it is a base that comes before the store.
struct Connections {
  store::OpenedConnections connections;
};

// The same with another connection to the store's file, and a count of the writes that fail.
class SchedulerFaultsTest : private Connections, public SchedulerTest {
 protected:
  SchedulerFaultsTest() {
    options_.grace = absl::Milliseconds(300);
    sqlite3_busy_timeout(connections.writer(), 0);
    other_ = std::make_unique<store::OtherConnection>(directory_->store_path());
    writer_ = std::make_unique<store::Writer>(
        *store_, [](const store::LoggedEvent&) {},
        store::Writer::Observer{.failed = [this] { ++failed_writes_; }});
  }
  ~SchedulerFaultsTest() override {
    scheduler_.reset();
    writer_.reset();
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

  std::atomic<int> failed_writes_ = 0;
  std::unique_ptr<store::OtherConnection> other_;
};

TEST_F(SchedulerFaultsTest, AnEndThatTheStoreCannotTakeIsWrittenWhenItCan) {
  other_->Break("UPDATE OF state ON job WHEN NEW.state = 'SUCCEEDED'");
  Start();
  const std::string id = Insert("succeed");
  AwaitFailedWrites(1);
  other_->Run("DROP TRIGGER fault");
  EXPECT_EQ(AwaitEnd(id).state, JobState::kSucceeded);
}

TEST_F(SchedulerFaultsTest, TheStoreKnowsAModelsFolderBeforeItKnowsTheEndOfTheJob) {
  other_->Break("UPDATE OF state ON job WHEN NEW.state = 'SUCCEEDED'");
  Start();
  const std::string id = Insert("succeed");
  AwaitFailedWrites(1);
  const auto drafts = store_->FoldersToRemove(store::Folder::Kind::kDraft, -1);
  ASSERT_THAT(drafts, IsOk());
  ASSERT_EQ(drafts->size(), 1u);
  EXPECT_TRUE(std::filesystem::exists(directory_->ModelDirectory(drafts->front().id)));
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
  RequestCancel(id);
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
  RequestCancel(id);
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
  Cancel(stuck);
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
