#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::server::webhooks {

// Which addresses the server may post to: those of the open network, and what --webhook-allow
// names. A private, loopback, link-local, multicast or reserved address (RFC 6890) is refused, also
// where it is written within one of IPv6: whoever may make a webhook would else reach, through the
// server, what only the server can, such as a cloud's metadata.
class AddressRule {
 public:
  AddressRule() = default;
  // `allowed`: host names, and networks such as 10.1.0.0/16 or fd00::/8, or single addresses.
  // INVALID_ARGUMENT: it is neither.
  static absl::StatusOr<AddressRule> Make(const std::vector<std::string>& allowed);

  // Any address of this host is allowed. Without brackets, as in a URL.
  bool AllowsHost(absl::string_view host) const;
  bool Allows(const sockaddr& address) const;

 private:
  struct Network {
    std::string bytes;  // 16, of IPv6; IPv4 as ::ffff:a.b.c.d
    int prefix = 128;
  };

  std::vector<std::string> hosts_;  // in lower case
  std::vector<Network> networks_;
};

}  // namespace hone::server::webhooks
