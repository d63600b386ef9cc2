#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "server/config/config.h"

namespace hone::server::rpc {

// The whole of honed: data directory, store, scheduler, services, metrics endpoint, wired in order
// and taken down in reverse.
class Server {
 public:
  // FAILED_PRECONDITION: the data directory is in use; UNAVAILABLE: an address is taken; DATA_LOSS:
  // the store is damaged. Jobs that ran when the last server ended go back into the queue before
  // the first call is taken.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const config::Config& config);

  // As Shutdown.
  virtual ~Server() = default;

  virtual int port() const = 0;
  virtual int metrics_port() const = 0;

  // Not ready any more; watchers are sent away; workers write a checkpoint and their jobs go back
  // into the queue. Once.
  virtual void Shutdown() = 0;
};

}  // namespace hone::server::rpc
