#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>

#include "absl/strings/string_view.h"

namespace hone::server::rpc {

// The connections that gRPC has been given. gRPC tells nobody when it closes one, so each is known
// by its descriptor and the socket behind it: when another one, or none, has the number, it is
// closed. One thread at a time.
class OpenConnections {
 public:
  struct Limits {
    size_t all = 0;
    // From one network address, so that one machine does not keep out all others: an IPv4 address,
    // or the 64 bits that an IPv6 network has. This machine's own addresses have no such limit.
    size_t of_one_address = 0;
    // Those that have said nothing since their greeting: whoever means it goes on at once. Beyond
    // the limit the oldest of them is shut down.
    size_t silent = 0;
  };
  explicit OpenConnections(const Limits& limits) : limits_(limits) {}

  // A connected socket from `peer`, as gRPC writes addresses (`ipv4:192.0.2.1:50000`), that has
  // said `greeting` bytes. False: there is no room for it. Who has it then closes it.
  bool Add(int fd, absl::string_view peer, size_t greeting);
  // That are still open.
  size_t Count();

 private:
  struct Known {
    int fd;
    uint64_t socket;
    std::string address;
    size_t greeting;
    bool silent = true;
  };
  void Forget();         // those that are closed
  void HearTheSilent();  // marks those that have said more
  void ShutOldestSilent();

  const Limits limits_;
  std::deque<Known> known_;  // the oldest first
  std::unordered_map<std::string, size_t> of_address_;
  size_t silent_ = 0;
};

// `ipv4:192.0.2.1:50000`: `192.0.2.1`; `ipv6:[2001:db8::1]:50000`: the first 64 bits; an IPv4
// address that is written as one of IPv6: the former. "": this machine, or no address.
std::string NetworkOf(absl::string_view peer);

}  // namespace hone::server::rpc
