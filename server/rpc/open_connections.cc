#include "server/rpc/open_connections.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"

namespace hone::server::rpc {
namespace {

constexpr size_t kNetworkBytes = 8;  // of an IPv6 address

// 0: it is closed.
uint64_t SocketOf(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

// From the client, acknowledged. Where the kernel does not tell, as many as there can be: then
// nobody counts as silent.
uint64_t BytesReceived(int fd) {
  tcp_info info{};
  socklen_t length = sizeof(info);
  const bool told = ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 &&
                    length >= offsetof(tcp_info, tcpi_bytes_received) + sizeof(uint64_t);
  return told ? info.tcpi_bytes_received : UINT64_MAX;
}

bool IsLoopback(const in6_addr& address) {
  return IN6_IS_ADDR_LOOPBACK(&address) ||
         (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == IN_LOOPBACKNET);
}

}  // namespace

std::string NetworkOf(absl::string_view peer) {
  const size_t port = peer.rfind(':');
  if (port == absl::string_view::npos) {
    return "";
  }
  peer = peer.substr(0, port);
  if (absl::ConsumePrefix(&peer, "ipv4:")) {
    return absl::StartsWith(peer, "127.") ? "" : std::string(peer);
  }
  if (!absl::ConsumePrefix(&peer, "ipv6:") || !absl::ConsumePrefix(&peer, "[") ||
      !absl::ConsumeSuffix(&peer, "]")) {
    return "";
  }
  in6_addr address{};
  if (::inet_pton(AF_INET6, std::string(peer.substr(0, peer.find('%'))).c_str(), &address) != 1 ||
      IsLoopback(address)) {
    return "";
  }
  if (IN6_IS_ADDR_V4MAPPED(&address)) {
    char text[INET_ADDRSTRLEN];
    return ::inet_ntop(AF_INET, &address.s6_addr[12], text, sizeof(text));
  }
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(address.s6_addr), kNetworkBytes));
}

bool OpenConnections::Add(int fd, absl::string_view peer, size_t greeting) {
  std::string address = NetworkOf(peer);
  const auto is_full = [&] {
    const auto found = of_address_.find(address);
    return known_.size() >= limits_.all || (!address.empty() && found != of_address_.end() &&
                                            found->second >= limits_.of_one_address);
  };
  if (is_full()) {
    Forget();
  }
  if (is_full()) {
    return false;
  }
  if (silent_ >= limits_.silent) {
    HearTheSilent();
  }
  if (silent_ >= limits_.silent) {
    ShutOldestSilent();
  }
  if (!address.empty()) {
    ++of_address_[address];
  }
  known_.push_back(
      {.fd = fd, .socket = SocketOf(fd), .address = std::move(address), .greeting = greeting});
  ++silent_;
  return true;
}

size_t OpenConnections::Count() {
  Forget();
  return known_.size();
}

void OpenConnections::Forget() {
  std::erase_if(known_, [this](const Known& known) {
    if (SocketOf(known.fd) == known.socket) {
      return false;
    }
    silent_ -= known.silent ? 1 : 0;
    if (const auto found = of_address_.find(known.address);
        found != of_address_.end() && --found->second == 0) {
      of_address_.erase(found);
    }
    return true;
  });
}

void OpenConnections::HearTheSilent() {
  Forget();
  for (Known& known : known_) {
    if (known.silent && BytesReceived(known.fd) > known.greeting) {
      known.silent = false;
      --silent_;
    }
  }
}

// gRPC sees the end of it and closes it. Should gRPC just have closed it, and another socket have
// its number since the look, that one's client comes again.
void OpenConnections::ShutOldestSilent() {
  const auto oldest = std::ranges::find(known_, true, &Known::silent);
  if (oldest != known_.end()) {
    ::shutdown(oldest->fd, SHUT_RDWR);
    oldest->silent = false;
    --silent_;
  }
}

}  // namespace hone::server::rpc
