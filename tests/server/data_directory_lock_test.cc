// Whose folder it is, what the next attempt finds there, and what it takes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/artifacts/data_directory.h"
#include "tests/support/status_matchers.h"

namespace hone::server::artifacts {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

std::string NewRoot() {
  static int number = 0;
  return absl::StrCat(::testing::TempDir(), "/directory-", ::getpid(), "-", number++);
}

TEST(DataDirectory, IsLockedAgainstASecondServer) {
  const std::string root = NewRoot();
  const auto first = DataDirectory::Open(root);
  ASSERT_THAT(first, IsOk());
  EXPECT_THAT(DataDirectory::Open(root).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("in use")));
  std::filesystem::remove_all(root);
}

TEST(DataDirectory, TheNextAttemptFindsWhatTheLastOneLeft) {
  const std::string root = NewRoot();
  const auto directory = DataDirectory::Open(root);
  const std::string first = *(*directory)->PrepareAttempt("job", 1);
  std::filesystem::create_directory(first + "/checkpoint");
  const std::string second = *(*directory)->PrepareAttempt("job", 2);
  EXPECT_TRUE(std::filesystem::exists(second + "/checkpoint"));
  EXPECT_FALSE(std::filesystem::exists(first));
  std::filesystem::remove_all(root);
}

TEST(DataDirectory, KnowsTheBytesOfEachOfItsParts) {
  const std::string root = NewRoot();
  const auto directory = *DataDirectory::Open(root);
  std::ofstream(directory->store_path()) << std::string(500, 's');
  std::filesystem::create_directories(directory->ModelDirectory("m"));
  std::ofstream(directory->ModelDirectory("m") + "/weights.bin") << std::string(1000, 'w');
  std::filesystem::create_symlink("weights.bin", directory->ModelDirectory("m") + "/again");
  const auto bytes = directory->BytesByPart();
  EXPECT_EQ(bytes.at("models"), 1000);
  EXPECT_EQ(bytes.at("runs"), 0);
  EXPECT_EQ(bytes.at("store"), 500);
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace hone::server::artifacts
