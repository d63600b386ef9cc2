#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/base/owned_fd.h"

namespace hone::server::artifacts {

// The socket in a server's folder by which whoever owns the folder reaches the server that uses it:
// control/socket, in a folder that is for its owner alone. Keep it as long as its address is used.
class ControlSocket {
 public:
  // For the server: makes the folder. Errors of engine/base/files.h, and of a file system that has
  // no sockets.
  static absl::StatusOr<ControlSocket> Make(const std::string& root);
  // For who calls. UNAVAILABLE: no server that listens there uses the folder.
  static absl::StatusOr<ControlSocket> Open(const std::string& root);

  // For gRPC. It is short, wherever the folder is: the path of a socket has 107 bytes at most.
  std::string address() const;

 private:
  explicit ControlSocket(OwnedFd folder) : folder_(std::move(folder)) {}

  // gRPC would not start without it, and not say why.
  absl::Status TryToBind() const;

  OwnedFd folder_;
};

}  // namespace hone::server::artifacts
