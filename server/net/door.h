#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/net/connection.h"
#include "server/net/listen.h"

namespace hone::server::net {

enum class Look {
  kMore,   // it has not said enough
  kEnter,  // let it in
  kClose,  // it is none of ours
};

struct DoorOptions {
  std::string address;  // HOST:PORT; port 0: a free one
  // Connections that may wait until they have said enough; one more, and the oldest is closed.
  size_t most_waiting = 64;
  absl::Duration patience = absl::Seconds(10);  // then one that has not said enough is closed
  // Bytes that are read before it is let in; one that has said so many and is not, is closed.
  size_t most_said = 4096;

  absl::Duration give_up_after = absl::Seconds(30);  // of a port that cannot be bound
  std::function<absl::StatusOr<Listeners>(const std::string& address)> listen = Listen;

  // What a new connection is told by, if this door speaks TLS: what it says is then what TLS had in
  // it. Called on the door's thread.
  std::function<std::shared_ptr<SSL_CTX>()> tls = nullptr;

  // All of these are called on the door's thread and must not block. What a connection has said
  // so far:
  std::function<Look(absl::string_view said)> look;
  // Takes a connection, and what was read from it.
  std::function<void(Connection connection, std::string said)> enter;
  // One was closed that would have stayed.
  std::function<void()> turned_away;
  // The port cannot be listened on any more, whatever was tried: nobody comes in again. Once.
  std::function<void(const absl::Status& reason)> lost;
};

// A TCP port whose connections are let in when they have said what they come for. Until then they
// cost a descriptor, of which there are most_waiting, and no thread; so whoever connects and is
// silent keeps nobody out. Without descriptors or memory it goes on when there are some again; a
// listening socket that fails is made anew.
class Door {
 public:
  // Lets connections in from now on. UNAVAILABLE: the address is in use or does not belong to this
  // machine.
  static absl::StatusOr<std::unique_ptr<Door>> Open(DoorOptions options);
  // As Close.
  virtual ~Door() = default;
  // Closes the port and all that wait, and returns when nothing of the options is called any more.
  virtual void Close() = 0;

  virtual int port() const = 0;
  // HOST:PORT by which this machine reaches it.
  virtual const std::string& dialed() const = 0;
  virtual size_t waiting() const = 0;  // any thread
};

}  // namespace hone::server::net
