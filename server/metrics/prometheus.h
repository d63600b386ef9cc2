#pragma once

#include <openssl/ssl.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/metrics/registry.h"

namespace hone::server::metrics {

// The metrics in Prometheus's text format.
std::string Render(Registry& registry);

// What a client says of itself.
struct Visitor {
  std::string peer;           // its address
  std::string authorization;  // the header; "": none
  bool has_certificate;       // one that TLS has found to be good
  std::string certificate_name;
};

struct EndpointOptions {
  std::string address;                                      // HOST:PORT; port 0 takes a free one
  std::function<std::shared_ptr<SSL_CTX>()> tls = nullptr;  // as DoorOptions::tls
  std::function<bool()> ready;                              // must not block
  // Whether a client may read the metrics; may take a moment. An error is told the client.
  std::function<absl::Status(const Visitor&)> admit;
};

// A small HTTP server with /metrics, /healthz (the process answers) and /readyz (503 until `ready`
// says yes); the two probes are for everybody and are answered at once, however slow /metrics and
// other clients are. A connection is for one request. It stops with this object. `registry`
// outlives it.
class HttpEndpoint {
 public:
  // UNAVAILABLE: the address is taken or not ours.
  static absl::StatusOr<std::unique_ptr<HttpEndpoint>> Start(EndpointOptions options,
                                                             Registry& registry);
  virtual ~HttpEndpoint() = default;
  virtual int port() const = 0;
};

}  // namespace hone::server::metrics
