// What a process can still do that is confined as a worker of each mode is: it tries.
#include "server/worker/confine.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include "server/worker_process/confinement.h"

namespace hone::server::worker {
namespace {

using ::testing::AnyOf;
using Mode = v1::WorkerRequest::Mode;

// The error with which each attempt ended; 0: it was done.
struct Attempts {
  int confined = -1;  // 0: Confine said so
  int internet = -1;
  int local_socket = -1;
  int ring = -1;
  int write_inside = -1;
  int write_outside = -1;
  int remove_outside = -1;
  int read_outside = -1;
  int run = -1;
};

int ErrorOf(long result) { return result < 0 ? errno : 0; }

int Write(const std::string& path) {
  return ErrorOf(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

class ConfineTest : public ::testing::Test {
 protected:
  ConfineTest() {
    std::string name = ::testing::TempDir() + "/hone-confine-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    std::filesystem::create_directories(folder_ + "/run");
    std::ofstream(folder_ + "/data.csv") << "a,b\n1,2\n";
  }
  ~ConfineTest() override { std::filesystem::remove_all(folder_); }

  // What a process can do after Confine. It has to be another one: there is no way back.
  Attempts Try(const v1::WorkerRequest& request) const {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);  // as the worker's main does
      Attempts attempts;
      attempts.confined = Confine(request).ok() ? 0 : 1;
      attempts.internet = ErrorOf(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      attempts.local_socket = ErrorOf(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      attempts.ring = ErrorOf(::syscall(SYS_io_uring_setup, 0, nullptr));
      attempts.write_inside = Write(folder_ + "/run/file");
      attempts.write_outside = Write(folder_ + "/file");
      attempts.remove_outside = ErrorOf(::unlink((folder_ + "/data.csv").c_str()));
      attempts.read_outside =
          ErrorOf(::open((folder_ + "/data.csv").c_str(), O_RDONLY | O_CLOEXEC));
      const pid_t program = ::fork();
      if (program == 0) {
        ::execl("/bin/true", "true", nullptr);
        ::_exit(errno);
      }
      int status = 0;
      ::waitpid(program, &status, 0);
      attempts.run = WEXITSTATUS(status);
      const bool told = ::write(ends[1], &attempts, sizeof(attempts)) == sizeof(attempts);
      ::_exit(told ? 0 : 1);
    }
    ::close(ends[1]);
    Attempts attempts;
    EXPECT_EQ(::read(ends[0], &attempts, sizeof(attempts)), static_cast<ssize_t>(sizeof(attempts)));
    ::close(ends[0]);
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(attempts.confined, 0);
    return attempts;
  }
  v1::WorkerRequest Request(Mode mode) const {
    v1::WorkerRequest request;
    request.set_mode(mode);
    request.set_dataset_path(folder_ + "/data.csv");
    request.set_run_directory(folder_ + "/run");
    return request;
  }

  std::string folder_;
};

class ConfinedModeTest : public ConfineTest, public ::testing::WithParamInterface<Mode> {};

std::string NameOf(const ::testing::TestParamInfo<Mode>& info) {
  return v1::WorkerRequest::Mode_Name(info.param);
}

INSTANTIATE_TEST_SUITE_P(Modes, ConfinedModeTest,
                         ::testing::Values(v1::WorkerRequest::TRAIN, v1::WorkerRequest::PLAN,
                                           v1::WorkerRequest::PREDICT, v1::WorkerRequest::DATASET,
                                           v1::WorkerRequest::IMPORT, v1::WorkerRequest::SERVE,
                                           v1::WorkerRequest::EXPORT),
                         NameOf);

TEST_P(ConfinedModeTest, HasNoSocketOfAnyKind) {
  if (!worker_process::HasSeccomp()) {
    GTEST_SKIP() << "the kernel filters no system calls";
  }
  const Attempts attempts = Try(Request(GetParam()));
  EXPECT_EQ(attempts.internet, EACCES);
  EXPECT_EQ(attempts.local_socket, EACCES);
  EXPECT_EQ(attempts.ring, EACCES);
}

TEST_P(ConfinedModeTest, ChangesNothingOutsideItsFolder) {
  if (worker_process::LandlockAbi() == 0) {
    GTEST_SKIP() << "the kernel has no Landlock";
  }
  const Attempts attempts = Try(Request(GetParam()));
  EXPECT_EQ(attempts.write_outside, EACCES);
  EXPECT_EQ(attempts.remove_outside, EACCES);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/file"));
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/data.csv"));
}

TEST_P(ConfinedModeTest, RunsNoProgram) {
  if (worker_process::LandlockAbi() == 0) {
    GTEST_SKIP() << "the kernel has no Landlock";
  }
  EXPECT_EQ(Try(Request(GetParam())).run, EACCES);
}

TEST_P(ConfinedModeTest, ReadsItsDataAndWritesIntoItsFolder) {
  const Attempts attempts = Try(Request(GetParam()));
  EXPECT_EQ(attempts.write_inside, 0);
  EXPECT_THAT(attempts.read_outside, AnyOf(0, ENOENT));  // where nothing kept it from removing it
}

// The attempts can succeed at all: who has to download may open a socket.
TEST_F(ConfineTest, WhoHasToDownloadHasTheNetwork) {
  v1::WorkerRequest request = Request(v1::WorkerRequest::TRAIN);
  request.clear_dataset_path();
  EXPECT_EQ(Try(request).internet, 0);
}

}  // namespace
}  // namespace hone::server::worker
