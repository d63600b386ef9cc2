#include "server/service_manager/notify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"

namespace hone::server::service_manager {
namespace {

using ::testing::HasSubstr;

// A socket as systemd has it, whose name is NOTIFY_SOCKET.
class Notified : public ::testing::Test {
 protected:
  ~Notified() override {
    ::unsetenv("NOTIFY_SOCKET");
    ::close(socket_);
  }

  // A name with an @ is in no file system.
  void Listen(const std::string& name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') {
      address.sun_path[0] = '\0';
    }
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ASSERT_EQ(::bind(socket_, reinterpret_cast<const sockaddr*>(&address),
                     static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())),
              0)
        << std::strerror(errno);
    ::setenv("NOTIFY_SOCKET", name.c_str(), /*overwrite=*/1);
  }

  std::string Received() const {
    std::string said(100, '\0');
    const ssize_t length = ::recv(socket_, said.data(), said.size(), 0);
    said.resize(length < 0 ? 0 : static_cast<size_t>(length));
    return said;
  }

 private:
  int socket_ = -1;
};

TEST_F(Notified, TellsASocketThatIsAFile) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/notify-", ::getpid());
  Listen(path);
  EXPECT_TRUE(Notify("READY=1").ok());
  EXPECT_EQ(Received(), "READY=1");
  ::unlink(path.c_str());
}

TEST_F(Notified, TellsAnAbstractSocket) {
  Listen(absl::StrCat("@hone-notify-", ::getpid()));
  EXPECT_TRUE(Notify("STOPPING=1").ok());
  EXPECT_EQ(Received(), "STOPPING=1");
}

TEST_F(Notified, IsSilentWhereNobodyWantsToKnow) { EXPECT_TRUE(Notify("READY=1").ok()); }

TEST_F(Notified, SaysThatNobodyTakesTheMessage) {
  ::setenv("NOTIFY_SOCKET", "/nowhere/notify", /*overwrite=*/1);
  const absl::Status told = Notify("READY=1");
  EXPECT_EQ(told.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(told.message()), HasSubstr("/nowhere/notify"));
}

TEST_F(Notified, RefusesANameThatIsNoPath) {
  ::setenv("NOTIFY_SOCKET", "notify", /*overwrite=*/1);
  EXPECT_EQ(Notify("READY=1").code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(Notified, RefusesANameThatNoSocketCanHave) {
  ::setenv("NOTIFY_SOCKET", absl::StrCat("/", std::string(200, 'n')).c_str(), /*overwrite=*/1);
  EXPECT_EQ(Notify("READY=1").code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace hone::server::service_manager
