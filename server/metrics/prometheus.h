#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/metrics/registry.h"

namespace hone::server::metrics {

// The metrics in Prometheus's text format.
std::string Render(Registry& registry);

// A small HTTP server with /metrics, /healthz (the process answers) and /readyz (503 until `ready`
// says yes); the two probes are answered at once, however slow /metrics and other clients are. A
// connection is for one request. It stops with this object. `registry` outlives it; `ready` must
// not block.
class HttpEndpoint {
 public:
  // `address` is HOST:PORT; port 0 takes a free one. UNAVAILABLE: the address is taken or not ours.
  static absl::StatusOr<std::unique_ptr<HttpEndpoint>> Start(const std::string& address,
                                                             Registry& registry,
                                                             std::function<bool()> ready);
  virtual ~HttpEndpoint() = default;
  virtual int port() const = 0;
};

}  // namespace hone::server::metrics
