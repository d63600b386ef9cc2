#pragma once

#include <grpcpp/server_builder.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "server/net/door.h"
#include "server/rpc/open_connections.h"

namespace hone::server::rpc {

// How many connections of clients there may be.
struct ConnectionLimits {
  OpenConnections::Limits open;  // with gRPC
  size_t waiting = 0;            // that have not greeted yet
};
// A part of the descriptors that the process may have, so that files, workers and metrics keep
// theirs.
ConnectionLimits LimitsFor(uint64_t descriptors);
ConnectionLimits HttpLimitsFor(uint64_t descriptors);  // the same for clients of HTTP

// What a connection says first.
enum class Greeting {
  kHttp2,  // in plain text
  kTls,    // the first record, which is a ClientHello
};

// The connections of clients: they are counted here and given to gRPC when they have sent
// their greeting. Beyond the limit a new one is closed, and its client comes again. gRPC's own
// listener would be given up for good when the descriptors run out.
class Connections {
 public:
  struct Hooks {
    std::function<void()> refused;                         // a connection; on the door's thread
    std::function<void(const absl::Status& reason)> lost;  // the port; once, on the same thread
  };
  // `acceptor` is the builder's, made before its server. UNAVAILABLE: the address is taken or not
  // of this machine; nothing is listened on before the server runs: call Begin then.
  Connections(const ConnectionLimits& limits, Greeting greeting,
              std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor,
              Hooks hooks);
  absl::Status Begin(const std::string& address);
  // Nobody comes in any more; who is in stays. To be called before the server is shut down.
  void End();

  int port() const { return door_->port(); }
  const std::string& dialed() const { return door_->dialed(); }
  // After Begin, any thread.
  size_t open() const;
  size_t waiting() const { return door_->waiting(); }

 private:
  void Enter(net::Connection connection, const std::string& said);

  const ConnectionLimits limits_;
  const Greeting greeting_;
  const std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  const Hooks hooks_;
  mutable std::mutex mutex_;
  mutable OpenConnections open_;     // guarded by mutex_
  std::unique_ptr<net::Door> door_;  // last: its thread uses the others
};

}  // namespace hone::server::rpc
