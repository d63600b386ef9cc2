#pragma once

#include <cstddef>
#include <mutex>
#include <set>
#include <string>
#include <unordered_set>

#include "grpc/health/v1/health.grpc.pb.h"

namespace hone::server::rpc {

// The standard health service, for everybody: whether the server, or one of its services, answers
// calls. gRPC's own keeps any number of watchers.
class Health final : public grpc::health::v1::Health::CallbackService {
 public:
  // Full names, such as "hone.v1.TrainingService"; the whole server is "".
  explicit Health(std::unordered_set<std::string> services);
  // All streams are done by then (the gRPC server is shut down).
  ~Health() override = default;

  // From now on nothing is served any more, and each watcher is told.
  void StopServing();

  static constexpr size_t kMostWatchers = 256;

  // NOT_FOUND: there is no such service.
  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;
  // A service that there is not is SERVICE_UNKNOWN. RESOURCE_EXHAUSTED: too many watch.
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* context,
      const grpc::health::v1::HealthCheckRequest* request) override;

 private:
  class Watcher;

  const std::unordered_set<std::string> services_;
  std::mutex mutex_;
  bool serving_ = true;          // guarded by mutex_
  std::set<Watcher*> watchers_;  // guarded by mutex_
};

}  // namespace hone::server::rpc
