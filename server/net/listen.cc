#include "server/net/listen.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"

namespace hone::server::net {
namespace {

constexpr int kBacklog = 1024;

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

absl::Status Refused(const std::string& address) {
  return absl::UnavailableError(absl::StrCat(
      "cannot listen on ", address, ": the address is in use or does not belong to this machine"));
}

void Enable(int fd, int level, int option, int value = 1) {
  ::setsockopt(fd, level, option, &value, sizeof(value));
}

// Not valid: this address cannot be bound. `port`: 0 takes a free one and sets it.
OwnedFd Bind(const addrinfo& to, int& port) {
  OwnedFd fd(::socket(to.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return fd;
  }
  Enable(fd.get(), SOL_SOCKET, SO_REUSEADDR);
  Enable(fd.get(), IPPROTO_TCP, TCP_NODELAY);  // which its connections inherit
  sockaddr_storage wanted{};
  std::memcpy(&wanted, to.ai_addr, to.ai_addrlen);
  // The port stands at the same place in both families.
  auto& number = to.ai_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(wanted).sin6_port
                                          : reinterpret_cast<sockaddr_in&>(wanted).sin_port;
  number = htons(static_cast<uint16_t>(port));
  if (to.ai_family == AF_INET6) {
    const bool any = IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<sockaddr_in6&>(wanted).sin6_addr);
    Enable(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, any ? 0 : 1);
  }
  socklen_t length = to.ai_addrlen;
  auto* const name = reinterpret_cast<sockaddr*>(&wanted);
  if (::bind(fd.get(), name, length) != 0 || ::listen(fd.get(), kBacklog) != 0 ||
      ::getsockname(fd.get(), name, &length) != 0) {
    return OwnedFd();
  }
  port = ntohs(number);
  return fd;
}

absl::StatusOr<Addresses> Resolve(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) {
    return absl::UnavailableError(absl::StrCat("there is no address ", host));
  }
  return Addresses(found, &::freeaddrinfo);
}

// Each address of the host that can be bound. ALREADY_EXISTS: one is taken. UNAVAILABLE: none is of
// this machine.
absl::StatusOr<Listeners> ListenOn(const std::string& host, int port) {
  HONE_ASSIGN_OR_RETURN(const Addresses addresses, Resolve(host));
  Listeners listeners{.sockets = {}, .port = port, .dialed = ""};
  for (const addrinfo* to = addresses.get(); to != nullptr; to = to->ai_next) {
    OwnedFd fd = Bind(*to, listeners.port);
    if (fd.valid()) {
      listeners.sockets.push_back(std::move(fd));
    } else if (errno == EADDRINUSE) {
      return absl::AlreadyExistsError(host);  // also where only some of a name's are taken
    }
  }
  if (listeners.sockets.empty()) {
    return absl::UnavailableError(host);
  }
  return listeners;
}

}  // namespace

absl::StatusOr<Listeners> Listen(const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port)) {
    return absl::InvalidArgumentError(absl::StrCat("must be HOST:PORT, got \"", address, "\""));
  }
  absl::string_view host = absl::string_view(address).substr(0, colon);
  if (absl::ConsumePrefix(&host, "[")) {
    absl::ConsumeSuffix(&host, "]");
  }
  const bool any = host == "0.0.0.0" || host == "::";
  absl::StatusOr<Listeners> listeners = ListenOn(any ? "::" : std::string(host), port);
  if (any && absl::IsUnavailable(listeners.status())) {
    listeners = ListenOn("0.0.0.0", port);  // a machine without IPv6
  }
  if (!listeners.ok()) {
    return Refused(address);
  }
  listeners->dialed = any ? absl::StrCat("localhost:", listeners->port)
                          : absl::StrCat(address.substr(0, colon + 1), listeners->port);
  return listeners;
}

}  // namespace hone::server::net
