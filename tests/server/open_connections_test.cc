#include "server/rpc/open_connections.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/owned_fd.h"

namespace hone::server::rpc {
namespace {

constexpr char kSomebody[] = "ipv4:192.0.2.1:50000";

struct Pair {
  OwnedFd server, client;
};

// A TCP connection to this process.
class OpenConnectionsTest : public ::testing::Test {
 protected:
  OpenConnectionsTest() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const address = reinterpret_cast<sockaddr*>(&name);
    EXPECT_EQ(::bind(listener_.get(), address, sizeof(name)), 0);
    EXPECT_EQ(::listen(listener_.get(), 16), 0);
    socklen_t size = sizeof(name);
    EXPECT_EQ(::getsockname(listener_.get(), address, &size), 0);
    address_ = name;
  }
  Pair Connect() const {
    OwnedFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(
        ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof(address_)), 0);
    return {.server = OwnedFd(::accept(listener_.get(), nullptr, nullptr)),
            .client = std::move(client)};
  }
  // The client says it, and the server's side has got it.
  static void Say(const Pair& pair, const std::string& text) {
    EXPECT_EQ(::send(pair.client.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
    pollfd readable = {.fd = pair.server.get(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&readable, 1, -1), 1);
    std::string got(text.size(), ' ');
    EXPECT_EQ(::recv(pair.server.get(), got.data(), got.size(), MSG_WAITALL),
              static_cast<ssize_t>(text.size()));
  }
  static bool IsShut(const Pair& pair) {
    char byte = 0;
    return ::recv(pair.client.get(), &byte, 1, MSG_DONTWAIT) == 0;
  }

  OwnedFd listener_;
  sockaddr_in address_{};
};

TEST_F(OpenConnectionsTest, OneThatIsClosedMakesRoom) {
  OpenConnections open({.all = 2, .of_one_address = 2, .silent = 2});
  Pair first = Connect();
  const Pair second = Connect();
  const Pair third = Connect();
  EXPECT_TRUE(open.Add(first.server.get(), kSomebody, 0));
  EXPECT_TRUE(open.Add(second.server.get(), kSomebody, 0));
  EXPECT_FALSE(open.Add(third.server.get(), "ipv4:192.0.2.9:1", 0));
  first.server.Close();
  EXPECT_EQ(open.Count(), 1);
  EXPECT_TRUE(open.Add(third.server.get(), "ipv4:192.0.2.9:1", 0));
}

TEST_F(OpenConnectionsTest, OneAddressLeavesRoomForOthers) {
  OpenConnections open({.all = 9, .of_one_address = 1, .silent = 9});
  Pair first = Connect();
  const Pair second = Connect();
  EXPECT_TRUE(open.Add(first.server.get(), kSomebody, 0));
  EXPECT_FALSE(open.Add(second.server.get(), "ipv4:192.0.2.1:50001", 0));
  EXPECT_TRUE(open.Add(second.server.get(), "ipv4:192.0.2.2:50001", 0));
  first.server.Close();
  EXPECT_TRUE(open.Add(second.server.get(), "ipv4:192.0.2.1:50002", 0));
}

TEST_F(OpenConnectionsTest, ThisMachineHasNoLimitOfItsOwn) {
  OpenConnections open({.all = 9, .of_one_address = 1, .silent = 9});
  const Pair first = Connect();
  const Pair second = Connect();
  EXPECT_TRUE(open.Add(first.server.get(), "ipv4:127.0.0.1:1", 0));
  EXPECT_TRUE(open.Add(second.server.get(), "ipv4:127.0.0.1:2", 0));
}

TEST_F(OpenConnectionsTest, OfThoseThatAreSilentTheOldestIsShutDown) {
  OpenConnections open({.all = 9, .of_one_address = 9, .silent = 2});
  const Pair talks = Connect();
  const Pair silent = Connect();
  const Pair later = Connect();
  const Pair last = Connect();
  for (const Pair* pair : {&talks, &silent, &later, &last}) {
    Say(*pair, "hello");
    EXPECT_TRUE(open.Add(pair->server.get(), kSomebody, 5));
    if (pair == &talks) {
      Say(talks, "more");
    }
  }
  EXPECT_FALSE(IsShut(talks));
  EXPECT_TRUE(IsShut(silent));
  EXPECT_FALSE(IsShut(later));
  EXPECT_FALSE(IsShut(last));
}

TEST(NetworkOf, IsAnAddressOrSixtyFourBitsOfOne) {
  EXPECT_EQ(NetworkOf("ipv4:192.0.2.1:50000"), "192.0.2.1");
  EXPECT_EQ(NetworkOf("ipv6:[::ffff:192.0.2.1]:50000"), "192.0.2.1");
  EXPECT_EQ(NetworkOf("ipv6:[2001:db8:1:2:3:4:5:6]:50000"), "20010db800010002");
  EXPECT_EQ(NetworkOf("ipv6:[2001:db8:1:2::9]:50000"), "20010db800010002");
  EXPECT_EQ(NetworkOf("ipv6:[fe80::1%eth0]:50000"), "fe80000000000000");
}

TEST(NetworkOf, IsNoneForThisMachine) {
  for (const char* peer : {"ipv4:127.0.0.1:1", "ipv4:127.8.0.1:1", "ipv6:[::1]:1",
                           "ipv6:[::ffff:127.0.0.1]:1", "unix:", ""}) {
    EXPECT_EQ(NetworkOf(peer), "") << peer;
  }
}

}  // namespace
}  // namespace hone::server::rpc
