#include "server/artifacts/data_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/support/status_matchers.h"

namespace hone::server::artifacts {
namespace {

namespace fs = std::filesystem;

class DataDirectoryTest : public ::testing::Test {
 protected:
  DataDirectoryTest()
      : root_(absl::StrCat(::testing::TempDir(), "/data-directory-", ::getpid(), "-", counter_++)) {
  }
  ~DataDirectoryTest() override { fs::remove_all(root_); }
  // A checkpoint of a job's first attempt; its file.
  std::string Checkpoint(const DataDirectory& directory, const std::string& job) {
    const std::string folder = *directory.PrepareAttempt(job, 1) + "/checkpoints/step-7";
    fs::create_directories(folder);
    std::ofstream(folder + "/weights") << "wwww";
    return folder + "/weights";
  }

  static inline int counter_ = 0;
  const std::string root_;
};

TEST_F(DataDirectoryTest, ARetryBeginsWithTheSameFilesWithoutACopy) {
  const auto directory = *DataDirectory::Open(root_);
  const std::string weights = Checkpoint(*directory, "old");
  ASSERT_THAT(directory->InheritCheckpoints("old", "new"), ::hone::testing::IsOk());
  const std::string inherited = root_ + "/runs/new/attempt-1/checkpoints/step-7/weights";
  ASSERT_TRUE(fs::exists(inherited));
  EXPECT_TRUE(fs::equivalent(weights, inherited));
}

TEST_F(DataDirectoryTest, ARetryKeepsItsCheckpointsWhenThoseOfTheOldJobGo) {
  const auto directory = *DataDirectory::Open(root_);
  Checkpoint(*directory, "old");
  ASSERT_THAT(directory->InheritCheckpoints("old", "new"), ::hone::testing::IsOk());
  ASSERT_THAT(directory->RemoveCheckpoints("old"), ::hone::testing::IsOk());
  EXPECT_EQ(*directory->FindCheckpoints("old"), CheckpointFiles::kNone);
  EXPECT_EQ(*directory->FindCheckpoints("new"), CheckpointFiles::kWhole);
}

TEST_F(DataDirectoryTest, ACheckpointThatARetryInheritedCountsOnce) {
  const auto directory = *DataDirectory::Open(root_);
  Checkpoint(*directory, "old");
  const int64_t before = directory->BytesByPart()["runs"];
  ASSERT_THAT(directory->InheritCheckpoints("old", "new"), ::hone::testing::IsOk());
  EXPECT_EQ(directory->BytesByPart()["runs"], before);
}

TEST_F(DataDirectoryTest, WhatCannotBeInheritedLeavesNothingBehind) {
  const auto directory = *DataDirectory::Open(root_);
  const std::string weights = Checkpoint(*directory, "old");
  fs::remove_all(root_ + "/runs/old/attempt-1/checkpoints/step-7");
  ASSERT_EQ(::mkfifo((root_ + "/runs/old/attempt-1/checkpoints/step-7").c_str(), 0600), 0);
  EXPECT_FALSE(directory->InheritCheckpoints("old", "new").ok());
  EXPECT_TRUE(fs::is_empty(root_ + "/tmp"));
}

TEST_F(DataDirectoryTest, RemovedCheckpointsAreToldFromOnesThatNeverWere) {
  const auto directory = *DataDirectory::Open(root_);
  Checkpoint(*directory, "old");
  ASSERT_THAT(directory->RemoveCheckpoints("old"), ::hone::testing::IsOk());
  EXPECT_TRUE(*directory->CheckpointsWereRemoved("old"));
  EXPECT_FALSE(*directory->CheckpointsWereRemoved("other"));
}

TEST_F(DataDirectoryTest, AMarkBesideCheckpointsThatAreStillThereSaysNothing) {
  const auto directory = *DataDirectory::Open(root_);
  Checkpoint(*directory, "old");
  std::ofstream(root_ + "/runs/old/checkpoints-removed");  // killed before it removed them
  EXPECT_FALSE(*directory->CheckpointsWereRemoved("old"));
}

TEST_F(DataDirectoryTest, AFirstCheckpointThatWasNeverWholeWasNotRemoved) {
  const auto directory = *DataDirectory::Open(root_);
  fs::create_directories(*directory->PrepareAttempt("old", 1) + "/checkpoints/.tmp-1");
  ASSERT_THAT(directory->RemoveCheckpoints("old"), ::hone::testing::IsOk());
  EXPECT_FALSE(*directory->CheckpointsWereRemoved("old"));
}

TEST_F(DataDirectoryTest, HashingFilesEndsWhereNobodyWantsIt) {
  fs::create_directories(root_ + "/models/big");
  std::ofstream(root_ + "/models/big/weights") << "w";
  EXPECT_THAT(
      ListFiles(root_ + "/models/big", [] { return false; }).status(),
      ::hone::testing::StatusIs(absl::StatusCode::kCancelled, ::testing::HasSubstr("weights")));
}

TEST_F(DataDirectoryTest, AFileWhoseNameIsNotUtf8IsRefused) {
  fs::create_directories(root_ + "/models/odd");
  std::ofstream(root_ + "/models/odd/\xff.json") << "{}";
  EXPECT_THAT(ListFiles(root_ + "/models/odd").status(),
              ::hone::testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                        ::testing::HasSubstr("\\xff.json")));
}

TEST_F(DataDirectoryTest, OpenedAsItIsItStaysAsItIs) {
  fs::create_directories(root_);
  ASSERT_THAT(DataDirectory::OpenAsItIs(root_), ::hone::testing::IsOk());
  EXPECT_TRUE(fs::is_empty(root_));
}

}  // namespace
}  // namespace hone::server::artifacts
