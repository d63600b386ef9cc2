#pragma once

#include <grpcpp/channel.h>
#include <openssl/ssl.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/http/session.h"

namespace hone::server::http {

struct ServerOptions {
  std::string address;  // HOST:PORT; port 0: a free one
  bool on_loopback = true;
  std::shared_ptr<grpc::Channel> channel;  // in this process, to the server whose calls these are
  std::vector<std::string> services;  // full names; their options google.api.http are the routes
  std::function<bool()> is_open;      // nobody is asked who they are
  std::function<std::shared_ptr<SSL_CTX>()> tls = nullptr;  // of new connections; none: plain text
  size_t most_open = 512;    // connections; one more is closed at once
  size_t most_waiting = 64;  // that have not sent anything yet
  Times times = {};
  // On the door's thread: a connection was closed that would have stayed; nobody comes in again.
  std::function<void()> refused = [] {};
  std::function<void(const absl::Status& reason)> lost = [](const absl::Status&) {};
};

// The calls of this server by HTTP/1.1 and JSON, and the web page. All connections share two
// threads, however many there are and however slow their clients.
class Server {
 public:
  // UNAVAILABLE: the address is taken or not of this machine. INVALID_ARGUMENT: Requests::Of.
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options);
  // As Finish.
  virtual ~Server() = default;

  virtual int port() const = 0;
  virtual size_t open() const = 0;  // connections; any thread

  // Nobody comes in any more, and who is in is answered once more.
  virtual void BeginDrain() = 0;
  // Returns when the last calls have ended, or `most` is over. The gRPC server, whose calls they
  // are, cuts them at once when it is shut down.
  virtual void WaitForCalls(absl::Duration most) = 0;
  // When the gRPC server has ended. Once; nothing of the options is called afterwards.
  virtual void Finish() = 0;
};

}  // namespace hone::server::http
