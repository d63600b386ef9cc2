#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "server/config/config.h"

namespace hone::server::rpc {

// The whole of honed: data directory, store, scheduler, services, metrics endpoint, wired in order
// and taken down in reverse.
class Server {
 public:
  // FAILED_PRECONDITION: the data directory is in use, or others than this machine may come and
  // there is no way to know them; INVALID_ARGUMENT: of the certificate's files; UNAVAILABLE: an
  // address is taken; DATA_LOSS: the store is damaged. Jobs that ran when the last server ended go
  // back into the queue before the first call is taken. `lost` is told, on some thread, when no
  // client can come in any more whatever is tried: the process should end then, and be started
  // again.
  using Lost = std::function<void(const absl::Status& reason)>;
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const config::Config& config, Lost lost = [](const absl::Status&) {});

  // As Shutdown.
  virtual ~Server() = default;

  virtual int port() const = 0;
  virtual int metrics_port() const = 0;
  virtual int http_port() const = 0;  // 0: there is none
  // Others than this machine may come, and nobody is asked who they are.
  virtual bool is_open_to_others() const = 0;

  // Not ready any more; watchers are sent away; workers write a checkpoint and their jobs go back
  // into the queue. Once.
  virtual void Shutdown() = 0;
};

}  // namespace hone::server::rpc
