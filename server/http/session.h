#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>

#include "absl/time/time.h"
#include "engine/base/owned_fd.h"
#include "server/http/call.h"
#include "server/http/requests.h"
#include "server/rpc/byte_budget.h"

namespace hone::server::http {

// How long a client may take. A request's line and headers come from its first byte on.
struct Times {
  absl::Duration handshake = absl::Seconds(10);
  absl::Duration head = absl::Seconds(10);
  absl::Duration body = absl::Seconds(60);    // of JSON
  absl::Duration idle = absl::Seconds(60);    // between requests
  absl::Duration piece = absl::Seconds(120);  // of an upload, or of an answer that is sent
};

// What all sessions share; it outlives them.
struct Shared {
  boost::asio::io_context& io;
  const Requests& requests;
  Calls& calls;
  rpc::ByteBudget& budget;        // of bodies and answers that are in memory
  std::function<bool()> is_open;  // nobody is asked who they are
  bool on_loopback = false;       // only this machine reaches the port
  bool tls = false;
  Times times = {};
  std::atomic<bool> stopping = false;

  // Sessions that there are, and those that answer a request just now.
  std::mutex mutex = {};
  std::condition_variable changed = {};
  size_t open = 0;  // guarded by mutex
  size_t busy = 0;  // guarded by mutex
};

// Serves a connection to its end: one request after another. It keeps itself alive as long as
// something of it is under way. `said` was read from the socket already; `context` is TLS's, null
// for plain text; `peer` is the client's address as gRPC writes it.
void BeginSession(Shared& shared, OwnedFd fd, SSL_CTX* context, std::string said, std::string peer);

}  // namespace hone::server::http
