#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/owned_fd.h"

namespace hone::server::net {

// The listening sockets of one address; all have the same port.
struct Listeners {
  std::vector<OwnedFd> sockets;
  int port = 0;
  std::string dialed;  // HOST:PORT by which this machine reaches them
};

// `address` is HOST:PORT; port 0 takes a free one. A name is listened on at each of its addresses,
// 0.0.0.0 and [::] mean every address of the machine, of both families where it has both.
// INVALID_ARGUMENT: not HOST:PORT. UNAVAILABLE: the address is in use or does not belong to this
// machine.
absl::StatusOr<Listeners> Listen(const std::string& address);

}  // namespace hone::server::net
