#include "server/net/door.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "tests/support/status_matchers.h"

namespace hone::server::net {
namespace {

using ::hone::testing::IsOk;
using ::testing::ElementsAre;

// Lets in who says "hello", closes who says anything else.
class DoorTest : public ::testing::Test {
 protected:
  ~DoorTest() override { door_.reset(); }
  void Open(size_t most_waiting, absl::Duration patience = absl::Hours(1)) {
    auto door = Door::Open({.address = "127.0.0.1:0",
                            .most_waiting = most_waiting,
                            .patience = patience,
                            .most_said = 16,
                            .look =
                                [](absl::string_view said) {
                                  return said == "hello"                       ? Look::kEnter
                                         : absl::StartsWith("hello", said)     ? Look::kMore
                                         : absl::StartsWith(said, "long word") ? Look::kMore
                                                                               : Look::kClose;
                                },
                            .enter =
                                [this](Connection connection, std::string said) {
                                  const std::lock_guard lock(mutex_);
                                  inside_.push_back(connection.Release());
                                  said_.push_back(std::move(said));
                                  changed_.notify_all();
                                },
                            .turned_away = [] {},
                            .lost = [](const absl::Status&) {}});
    ASSERT_THAT(door, IsOk());
    door_ = *std::move(door);
  }
  OwnedFd Connect() {
    OwnedFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(door_->port()));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
    return fd;
  }
  static void Say(const OwnedFd& fd, const std::string& text) {
    EXPECT_EQ(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // Until the other end has closed it.
  static bool AwaitEnd(const OwnedFd& fd) {
    char byte = 0;
    return ::recv(fd.get(), &byte, 1, 0) <= 0;
  }
  std::vector<std::string> AwaitEntered(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return said_.size() >= count; });
    return said_;
  }
  // The descriptor on which this process listens at the door's port.
  int Listener() const {
    for (int fd = 0; fd < 1024; ++fd) {
      int listens = 0;
      socklen_t length = sizeof(listens);
      sockaddr_in name{};
      socklen_t name_length = sizeof(name);
      if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens != 0 &&
          ::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &name_length) == 0 &&
          ntohs(name.sin_port) == door_->port()) {
        return fd;
      }
    }
    return -1;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<OwnedFd> inside_;    // guarded by mutex_
  std::vector<std::string> said_;  // guarded by mutex_
  std::unique_ptr<Door> door_;
};

TEST_F(DoorTest, WhoHasSaidEnoughComesInWithWhatWasRead) {
  Open(4);
  const OwnedFd visitor = Connect();
  Say(visitor, "hel");
  Say(visitor, "lo");
  EXPECT_THAT(AwaitEntered(1), ElementsAre("hello"));
}

TEST_F(DoorTest, WhoIsSilentKeepsNobodyOut) {
  Open(4);
  std::vector<OwnedFd> silent;
  for (int i = 0; i < 40; ++i) {
    silent.push_back(Connect());
  }
  const OwnedFd visitor = Connect();
  Say(visitor, "hello");
  EXPECT_THAT(AwaitEntered(1), ElementsAre("hello"));
  EXPECT_TRUE(AwaitEnd(silent.front()));
}

TEST_F(DoorTest, WhoIsSilentForTooLongIsClosed) {
  Open(4, absl::Milliseconds(10));
  EXPECT_TRUE(AwaitEnd(Connect()));
}

TEST_F(DoorTest, WhoSaysSomethingElseIsClosed) {
  Open(4);
  const OwnedFd visitor = Connect();
  Say(visitor, "GET / HTTP");
  EXPECT_TRUE(AwaitEnd(visitor));
}

TEST_F(DoorTest, WhoNeverComesToAnEndIsClosed) {
  Open(4);
  const OwnedFd visitor = Connect();
  Say(visitor, "long word that never ends");
  EXPECT_TRUE(AwaitEnd(visitor));
}

TEST_F(DoorTest, ItGoesOnWhenThereAreDescriptorsAgain) {
  Open(4);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const OwnedFd shut_out(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(door_->port()));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // No number is free below the limit.
  std::vector<OwnedFd> all;
  do {
    all.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  } while (all.back().valid() && all.back().get() < 200);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(all.back().get()) + 1;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  ASSERT_EQ(::connect(shut_out.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  EXPECT_TRUE(AwaitEnd(shut_out));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  const OwnedFd visitor = Connect();
  Say(visitor, "hello");
  EXPECT_THAT(AwaitEntered(1), ElementsAre("hello"));
}

TEST_F(DoorTest, AListeningSocketThatFailsIsMadeAnew) {
  Open(4);
  ASSERT_EQ(::shutdown(Listener(), SHUT_RDWR), 0);
  // Until it listens again.
  OwnedFd visitor;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(door_->port()));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  do {
    visitor = OwnedFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  } while (::connect(visitor.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0);
  Say(visitor, "hello");
  EXPECT_THAT(AwaitEntered(1), ElementsAre("hello"));
}

TEST_F(DoorTest, APortThatCannotBeHadAgainIsLostAndThatIsSaidOnce) {
  std::promise<std::string> lost;  // which can be kept once
  DoorOptions options;
  options.address = "127.0.0.1:0";
  options.look = [](absl::string_view) { return Look::kMore; };
  options.turned_away = [] {};
  options.lost = [&](const absl::Status& reason) { lost.set_value(std::string(reason.message())); };
  options.give_up_after = absl::ZeroDuration();
  options.listen = [first = true](const std::string& address) mutable {
    return std::exchange(first, false) ? Listen(address) : absl::UnavailableError("gone");
  };
  auto door = Door::Open(std::move(options));
  ASSERT_THAT(door, IsOk());
  door_ = *std::move(door);
  ASSERT_EQ(::shutdown(Listener(), SHUT_RDWR), 0);
  EXPECT_EQ(lost.get_future().get(), "gone");
}

TEST_F(DoorTest, TwoDoorsHaveNotTheSamePort) {
  Open(4);
  DoorOptions same;
  same.address = door_->dialed();
  EXPECT_TRUE(absl::IsUnavailable(Door::Open(std::move(same)).status()));
}

}  // namespace
}  // namespace hone::server::net
