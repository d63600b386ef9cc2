#include "server/artifacts/control_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/status_matchers.h"

namespace hone::server::artifacts {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::StatusIs;
using ::testing::HasSubstr;

class ControlSocketTest : public ::testing::Test {
 protected:
  ControlSocketTest() : root_(absl::StrCat(::testing::TempDir(), "/control-", ::getpid())) {
    std::filesystem::create_directories(root_);
  }
  ~ControlSocketTest() override { std::filesystem::remove_all(root_); }

  const std::string root_;
};

TEST_F(ControlSocketTest, ItsFolderIsForItsOwnerAloneWhateverItWasBefore) {
  const std::string folder = root_ + "/control";
  ASSERT_EQ(::mkdir(folder.c_str(), 0777), 0);
  ASSERT_EQ(::chmod(folder.c_str(), 0777), 0);
  ASSERT_THAT(ControlSocket::Make(root_), IsOk());
  struct stat made {};
  ASSERT_EQ(::stat(folder.c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 0777, 0700U);
}

TEST_F(ControlSocketTest, AFolderOfAnotherUserIsRefused) {
  const std::string folder = root_ + "/control";
  ASSERT_EQ(::mkdir(folder.c_str(), 0700), 0);
  if (::chown(folder.c_str(), 1, 1) != 0) {
    GTEST_SKIP() << "only root can give a folder away";
  }
  EXPECT_THAT(ControlSocket::Make(root_).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("must belong to")));
}

TEST_F(ControlSocketTest, ALinkToAFolderIsRefused) {
  std::filesystem::create_directories(root_ + "/elsewhere");
  std::filesystem::create_directory_symlink("elsewhere", root_ + "/control");
  EXPECT_FALSE(ControlSocket::Make(root_).ok());
}

}  // namespace
}  // namespace hone::server::artifacts
