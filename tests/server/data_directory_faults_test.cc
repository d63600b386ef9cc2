// Folders of a disk that fails: one that cannot be read since no descriptor is left, or the listing
// breaks off; what is durable when the machine stops.
#include <dirent.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "server/artifacts/data_directory.h"
#include "server/artifacts/entries.h"
#include "tests/support/status_matchers.h"

namespace {

// Entries that are listed before the disk fails; -1: it does not.
int g_entries_left = -1;
// The only folder where it fails; "": everywhere.
std::string g_failing_folder;
// What was made durable, by path.
std::set<std::string> g_synced;

std::string PathOf(int fd) {
  return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd)).string();
}

}  // namespace

// Stands before the C library's.
extern "C" dirent* readdir(DIR* directory) {
  static const auto real = reinterpret_cast<dirent* (*)(DIR*)>(::dlsym(RTLD_NEXT, "readdir"));
  if (!g_failing_folder.empty() && PathOf(::dirfd(directory)) != g_failing_folder) {
    return real(directory);
  }
  if (g_entries_left == 0) {
    errno = EIO;
    return nullptr;
  }
  g_entries_left -= g_entries_left > 0 ? 1 : 0;
  return real(directory);
}

extern "C" int fsync(int fd) {
  static const auto real = reinterpret_cast<int (*)(int)>(::dlsym(RTLD_NEXT, "fsync"));
  g_synced.insert(PathOf(fd));
  return real(fd);
}

namespace hone::server::artifacts {
namespace {

namespace fs = std::filesystem;
using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;

class FaultyDiskTest : public ::testing::Test {
 protected:
  FaultyDiskTest()
      : root_(absl::StrCat(::testing::TempDir(), "/unreadable-", ::getpid(), "-", counter_++)) {
    directory_ = *DataDirectory::Open(root_);
    fs::create_directories(*directory_->PrepareAttempt("job", 1) + "/checkpoints/step-7");
  }
  ~FaultyDiskTest() override { fs::remove_all(root_); }
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
  // What `work` gives while the listing of `folder` breaks off after `entries`, "." and ".."
  // included.
  template <typename Work>
  static auto WhileListingFails(const std::string& folder, int entries, Work work) {
    g_failing_folder = fs::canonical(folder).string();
    g_entries_left = entries;
    const absl::Cleanup restore = [] {
      g_entries_left = -1;
      g_failing_folder.clear();
    };
    return work();
  }

  static inline int counter_ = 0;
  const std::string root_;
  std::unique_ptr<DataDirectory> directory_;
};

TEST_F(FaultyDiskTest, TheNextAttemptIsNotMadeEmpty) {
  EXPECT_THAT(WithoutDescriptors([&] { return directory_->PrepareAttempt("job", 2); }),
              StatusIs(absl::StatusCode::kResourceExhausted, ::testing::HasSubstr("cannot list")));
  EXPECT_FALSE(fs::exists(root_ + "/runs/job/attempt-2"));
  ASSERT_THAT(directory_->PrepareAttempt("job", 2), IsOk());
  EXPECT_TRUE(fs::exists(root_ + "/runs/job/attempt-2/checkpoints/step-7"));
}

TEST_F(FaultyDiskTest, ARetryDoesNotBeginWithoutTheCheckpointsOfItsJob) {
  EXPECT_THAT(WithoutDescriptors([&] { return directory_->InheritCheckpoints("job", "retry"); }),
              StatusIs(absl::StatusCode::kResourceExhausted, ::testing::HasSubstr("cannot list")));
}

TEST_F(FaultyDiskTest, ItIsNotSaidThatAJobHasNoCheckpoints) {
  EXPECT_FALSE(WithoutDescriptors([&] { return directory_->FindCheckpoints("job"); }).ok());
  EXPECT_FALSE(WithoutDescriptors([&] { return directory_->CheckpointsWereRemoved("job"); }).ok());
}

TEST_F(FaultyDiskTest, ADiskThatFailsWhileAFolderIsListedIsAnErrorThatIsNotThrown) {
  g_entries_left = 2;  // "." and ".."
  const auto entries = EntriesOf(root_ + "/runs/job");
  g_entries_left = -1;
  EXPECT_THAT(entries,
              StatusIs(absl::StatusCode::kUnavailable, ::testing::HasSubstr("cannot list")));
}

TEST_F(FaultyDiskTest, TheNextAttemptWaitsForADiskThatFails) {
  g_entries_left = 2;
  const auto prepared = directory_->PrepareAttempt("job", 2);
  g_entries_left = -1;
  EXPECT_THAT(prepared,
              StatusIs(absl::StatusCode::kUnavailable, ::testing::HasSubstr("cannot list")));
}

TEST_F(FaultyDiskTest, AModelIsNotPublishedWithAPartOfItsFiles) {
  const std::string attempt = fs::canonical(root_ + "/runs/job/attempt-1").string();
  fs::create_directory(attempt + "/model");
  for (const char* const name : {"a", "b", "c"}) {
    std::ofstream(attempt + "/model/" + name) << name;
  }
  EXPECT_THAT(WhileListingFails(attempt + "/model", 3,
                                [&] { return directory_->Publish(attempt, "model", "id"); }),
              StatusIs(absl::StatusCode::kUnavailable, ::testing::HasSubstr("cannot list")));
  EXPECT_FALSE(fs::exists(root_ + "/models/id"));
  const auto published = directory_->Publish(attempt, "model", "id");
  ASSERT_THAT(published, IsOk());
  EXPECT_EQ(published->size(), 3u);
}

TEST_F(FaultyDiskTest, ACheckpointThatCannotBeReadToItsEndIsAnErrorThatIsNotThrown) {
  const std::string step = root_ + "/runs/job/attempt-1/checkpoints/step-7";
  for (const char* const name : {"a", "b", "c"}) {
    std::ofstream(step + "/" + name) << name;
  }
  EXPECT_THAT(
      WhileListingFails(step, 3, [&] { return directory_->InheritCheckpoints("job", "retry"); }),
      StatusIs(absl::StatusCode::kUnavailable, ::testing::HasSubstr("cannot list")));
  EXPECT_FALSE(fs::exists(root_ + "/runs/retry"));
}

TEST_F(FaultyDiskTest, AFolderThatCannotBeReadHidesNoBytesOfTheOthers) {
  const std::string run = root_ + "/runs/job/";
  for (const char* const name : {"first", "second"}) {
    fs::create_directory(run + name);
    std::ofstream(run + name + "/file") << "12345";
  }
  for (const char* const name : {"first", "second"}) {
    EXPECT_EQ(WhileListingFails(run + name, 0, [&] { return directory_->BytesByPart()["runs"]; }),
              5);
  }
}

TEST_F(FaultyDiskTest, ANewFolderIsDurableInTheOneAboveIt) {
  g_synced.clear();
  ASSERT_THAT(directory_->PrepareAttempt("new", 1), IsOk());
  EXPECT_THAT(g_synced, ::testing::IsSupersetOf({fs::canonical(root_ + "/runs").string(),
                                                 fs::canonical(root_ + "/runs/new").string()}));
}

}  // namespace
}  // namespace hone::server::artifacts
