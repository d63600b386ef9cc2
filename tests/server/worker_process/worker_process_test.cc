#include "server/worker_process/worker_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "server/worker_process/confinement.h"
#include "server/worker_process/orphans.h"
#include "tests/support/status_matchers.h"

namespace hone::server::worker_process {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kLongest = absl::Seconds(60);

class WorkerProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "hone-worker-process-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<WorkerProcess> Play(const std::string& script) {
    const std::string path = folder_ + "/script";
    std::ofstream(path) << script;
    setenv("HONE_FAKE_SCRIPT", path.c_str(), 1);
    v1::WorkerRequest request;
    request.set_mode(v1::WorkerRequest::TRAIN);
    request.mutable_spec()->set_display_name("from the request");
    request.set_threads(2);
    auto worker = WorkerProcess::Start(request, {.binary = HONE_FAKE_WORKER,
                                                 .request_path = folder_ + "/request",
                                                 .output_path = folder_ + "/worker.log"});
    EXPECT_THAT(worker, IsOk());
    return worker.ok() ? *std::move(worker) : nullptr;
  }

  static std::string LogText(WorkerProcess& worker) {
    const auto received = worker.Read(kLongest);
    EXPECT_THAT(received, IsOk());
    return received.ok() && received->frame ? received->frame->event().log().text() : "";
  }

  std::string folder_;
};

TEST_F(WorkerProcessTest, GivesTheFramesInOrderThenTheEnd) {
  const auto worker = Play("progress { phase: 'one' }\nprogress { phase: 'two' }\n");
  EXPECT_EQ(worker->Read(kLongest)->frame->progress().phase(), "one");
  EXPECT_EQ(worker->Read(kLongest)->frame->progress().phase(), "two");
  EXPECT_TRUE(worker->Read(kLongest)->ended);
  EXPECT_EQ(worker->Wait(kLongest).ToString(), "exited with 0");
}

TEST_F(WorkerProcessTest, HandsOverTheRequest) {
  const auto worker = Play("!show request\n");
  EXPECT_THAT(LogText(*worker), HasSubstr("from the request"));
}

TEST_F(WorkerProcessTest, SetsTheThreadsOfTheRequestBeforeTheWorkerStarts) {
  const auto worker = Play("!show environment\n");
  const std::string environment = LogText(*worker);
  EXPECT_THAT(environment, HasSubstr("OMP_NUM_THREADS=2\n"));
  EXPECT_THAT(environment, HasSubstr("OMP_WAIT_POLICY=active\n"));
}

TEST_F(WorkerProcessTest, KeepsUnknownVariablesFromTheWorker) {
  setenv("SECRET_OF_THE_PARENT", "x", 1);
  const auto worker = Play("!show environment\n");
  EXPECT_THAT(LogText(*worker), Not(HasSubstr("SECRET_OF_THE_PARENT")));
}

TEST(WorkerEnvironment, NamesProxiesOnlyToWhoNeedsTheNetwork) {
  const std::string proxy = "https_proxy=http://user:password@proxy.example";
  setenv("https_proxy", "http://user:password@proxy.example", 1);
  EXPECT_THAT(WorkerEnvironment(1, /*network=*/true), ::testing::Contains(proxy));
  EXPECT_THAT(WorkerEnvironment(1, /*network=*/false), Not(::testing::Contains(proxy)));
  unsetenv("https_proxy");
}

TEST(WorkerEnvironment, HasNotTheTokenOfWhoStartsTheWorker) {
  setenv("HONE_TOKEN", "hone_secret", 1);
  EXPECT_THAT(WorkerEnvironment(1, /*network=*/true),
              Not(::testing::Contains(HasSubstr("hone_secret"))));
  unsetenv("HONE_TOKEN");
}

TEST(MayDownload, OnlyWhoLearnsFromANameOfTheCatalogue) {
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::TRAIN);
  request.mutable_spec()->mutable_data()->set_dataset("mnist");
  EXPECT_TRUE(MayDownload(request));
  request.set_dataset_path("datasets/0123.csv");
  EXPECT_FALSE(MayDownload(request));
  request.clear_dataset_path();
  request.set_mode(v1::WorkerRequest::DATASET);
  EXPECT_FALSE(MayDownload(request));
}

TEST_F(WorkerProcessTest, SaysHowMuchMemoryTheWorkerHeld) {
  const auto worker = Play("");
  EXPECT_GT(worker->Wait(kLongest).peak_resident_bytes, 1 << 20);
}

TEST_F(WorkerProcessTest, LeavesTheWorkerNoDescriptorButItsFive) {
  const int extra = dup(1);
  // The script's own file is the sixth.
  const auto worker = Play("!show descriptors\n");
  EXPECT_THAT(LogText(*worker), "0 1 2 3 4 5 ");
  close(extra);
}

// A parent that ends without a word, as a server does that is killed.
TEST_F(WorkerProcessTest, TheWorkerSeesThatItsParentIsGone) {
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);  // the orphan becomes ours
  int told[2];
  ASSERT_EQ(pipe(told), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    const auto worker = Play("progress { phase: 'up' }\n!await parent\n!exit 7\n");
    const pid_t pid = worker->Read(kLongest)->frame.has_value() ? worker->pid() : 0;
    (void)!write(told[1], &pid, sizeof(pid));
    _exit(0);
  }
  close(told[1]);
  pid_t worker = 0;
  EXPECT_EQ(read(told[0], &worker, sizeof(worker)), static_cast<ssize_t>(sizeof(worker)));
  close(told[0]);
  int status = 0;
  EXPECT_EQ(waitpid(parent, &status, 0), parent);
  EXPECT_EQ(waitpid(worker, &status, 0), worker);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
  prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST_F(WorkerProcessTest, LeavesNoChildOfTheWorkerBehind) {
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);  // as the first process of a container is
  const auto worker = Play("!start a child\n!exit 5\n");
  const pid_t child = std::stoi(LogText(*worker));
  EXPECT_EQ(worker->Wait(kLongest).code, 5);
  EXPECT_NE(kill(child, 0), 0);
  EXPECT_EQ(errno, ESRCH);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
}

// A process of a group of its own, which waits for a signal.
pid_t StartGroup() {
  const pid_t child = fork();
  if (child == 0) {
    while (true) {
      pause();
    }
  }
  setpgid(child, child);
  return child;
}

TEST(Orphans, ThatTakeLongToDieAreLeftToALaterCall) {
  Orphans orphans;
  const pid_t slow = StartGroup(), other = StartGroup();
  orphans.Reap(slow, absl::Milliseconds(5));
  EXPECT_EQ(kill(slow, 0), 0);
  kill(slow, SIGKILL);
  siginfo_t ended = {};
  EXPECT_EQ(waitid(P_PID, static_cast<id_t>(slow), &ended, WEXITED | WNOWAIT), 0);
  kill(other, SIGKILL);
  orphans.Reap(other, kLongest);
  for (const pid_t child : {slow, other}) {
    EXPECT_NE(kill(child, 0), 0);
    EXPECT_EQ(errno, ESRCH);
  }
}

TEST_F(WorkerProcessTest, ReturnsWithoutAFrameWhenTheTimeIsOver) {
  const auto worker = Play("!await SIGTERM\n");
  const auto received = worker->Read(absl::Milliseconds(20));
  ASSERT_THAT(received, IsOk());
  EXPECT_FALSE(received->frame.has_value());
  EXPECT_FALSE(received->ended);
}

TEST_F(WorkerProcessTest, PassesASignalOn) {
  const auto worker = Play("progress { phase: 'up' }\n!await SIGTERM\n!exit 3\n");
  EXPECT_TRUE(worker->Read(kLongest)->frame.has_value());
  worker->Signal(SIGTERM);
  EXPECT_EQ(worker->Wait(kLongest).code, 3);
}

TEST_F(WorkerProcessTest, KillsAWorkerThatDoesNotEndInTime) {
  const auto worker = Play("!ignore SIGTERM\nprogress { phase: 'up' }\n!sleep 60000\n");
  EXPECT_TRUE(worker->Read(kLongest)->frame.has_value());
  worker->Signal(SIGTERM);
  const ExitStatus exit = worker->Wait(absl::Milliseconds(50));
  EXPECT_EQ(exit.signal, SIGKILL);
  EXPECT_TRUE(exit.killed_by_us);
}

TEST_F(WorkerProcessTest, NamesTheSignalThatEndedTheWorker) {
  const auto worker = Play("!abort\n");
  EXPECT_TRUE(worker->Read(kLongest)->ended);
  EXPECT_EQ(worker->Wait(kLongest).ToString(), "was ended by SIGABRT");
}

TEST_F(WorkerProcessTest, RefusesALengthAboveTheCap) {
  const auto worker = Play("!raw ~~~~~~~~\n");
  EXPECT_THAT(worker->Read(kLongest),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("announced a frame")));
}

TEST_F(WorkerProcessTest, SaysWhichProgramCannotBeStarted) {
  v1::WorkerRequest request;
  request.set_mode(v1::WorkerRequest::PLAN);
  EXPECT_THAT(WorkerProcess::Start(request, {.binary = "/nowhere/hone-worker",
                                             .request_path = folder_ + "/request",
                                             .output_path = ""}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere/hone-worker")));
}

TEST(FrameDecoder, WaitsForTheRestOfAFrame) {
  FrameDecoder decoder;
  decoder.Append(absl::string_view("\2\0\0", 3));
  EXPECT_FALSE(decoder.Next()->has_value());
  decoder.Append(absl::string_view("\0\x2a", 2));  // progress, …
  EXPECT_FALSE(decoder.Next()->has_value());
  decoder.Append(absl::string_view("\0", 1));  // … empty
  EXPECT_TRUE(decoder.Next()->has_value());
  EXPECT_EQ(decoder.pending_bytes(), 0u);
}

TEST(FrameDecoder, KeepsSayingThatTheStreamIsBroken) {
  FrameDecoder decoder;
  decoder.Append(absl::string_view("\1\0\0\0\xff", 5));
  EXPECT_THAT(decoder.Next(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a WorkerFrame")));
  EXPECT_THAT(decoder.Next(), Not(IsOk()));
}

}  // namespace
}  // namespace hone::server::worker_process
