// A folder that cannot be read: no descriptor is left, or the disk fails while it is listed.
#include <dirent.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "server/artifacts/data_directory.h"
#include "server/artifacts/entries.h"
#include "tests/support/status_matchers.h"

namespace {

// Entries that are listed before the disk fails; -1: it does not.
int g_entries_left = -1;

}  // namespace

// Stands before the C library's.
extern "C" dirent* readdir(DIR* directory) {
  static const auto real = reinterpret_cast<dirent* (*)(DIR*)>(::dlsym(RTLD_NEXT, "readdir"));
  if (g_entries_left == 0) {
    errno = EIO;
    return nullptr;
  }
  g_entries_left -= g_entries_left > 0 ? 1 : 0;
  return real(directory);
}

namespace hone::server::artifacts {
namespace {

namespace fs = std::filesystem;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;

class UnreadableFolderTest : public ::testing::Test {
 protected:
  UnreadableFolderTest()
      : root_(absl::StrCat(::testing::TempDir(), "/unreadable-", ::getpid(), "-", counter_++)) {
    directory_ = *DataDirectory::Open(root_);
    fs::create_directories(*directory_->PrepareAttempt("job", 1) + "/checkpoints/step-7");
  }
  ~UnreadableFolderTest() override { fs::remove_all(root_); }
  // What `work` gives while the process can open nothing more.
  template <typename Work>
  static auto WithoutDescriptors(Work work) {
    rlimit before = {};
    ::getrlimit(RLIMIT_NOFILE, &before);
    const rlimit none{0, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
    const absl::Cleanup restore = [&before] { ::setrlimit(RLIMIT_NOFILE, &before); };
    return work();
  }

  static inline int counter_ = 0;
  const std::string root_;
  std::unique_ptr<DataDirectory> directory_;
};

TEST_F(UnreadableFolderTest, TheNextAttemptIsNotMadeEmpty) {
  EXPECT_THAT(WithoutDescriptors([&] { return directory_->PrepareAttempt("job", 2); }),
              StatusIs(absl::StatusCode::kResourceExhausted, ::testing::HasSubstr("cannot list")));
  EXPECT_FALSE(fs::exists(root_ + "/runs/job/attempt-2"));
  ASSERT_THAT(directory_->PrepareAttempt("job", 2), IsOk());
  EXPECT_TRUE(fs::exists(root_ + "/runs/job/attempt-2/checkpoints/step-7"));
}

TEST_F(UnreadableFolderTest, ARetryDoesNotBeginWithoutTheCheckpointsOfItsJob) {
  EXPECT_THAT(WithoutDescriptors([&] { return directory_->InheritCheckpoints("job", "retry"); }),
              StatusIs(absl::StatusCode::kResourceExhausted, ::testing::HasSubstr("cannot list")));
}

TEST_F(UnreadableFolderTest, ItIsNotSaidThatAJobHasNoCheckpoints) {
  EXPECT_FALSE(WithoutDescriptors([&] { return directory_->FindCheckpoints("job"); }).ok());
  EXPECT_FALSE(WithoutDescriptors([&] { return directory_->CheckpointsWereRemoved("job"); }).ok());
}

TEST_F(UnreadableFolderTest, ADiskThatFailsWhileAFolderIsListedIsAnErrorThatIsNotThrown) {
  g_entries_left = 2;  // "." and ".."
  const auto entries = EntriesOf(root_ + "/runs/job");
  g_entries_left = -1;
  EXPECT_THAT(entries,
              StatusIs(absl::StatusCode::kUnavailable, ::testing::HasSubstr("cannot list")));
}

TEST_F(UnreadableFolderTest, TheNextAttemptWaitsForADiskThatFails) {
  g_entries_left = 2;
  const auto prepared = directory_->PrepareAttempt("job", 2);
  g_entries_left = -1;
  EXPECT_THAT(prepared,
              StatusIs(absl::StatusCode::kUnavailable, ::testing::HasSubstr("cannot list")));
}

}  // namespace
}  // namespace hone::server::artifacts
