#include "server/rpc/health.h"

#include <utility>

#include "server/rpc/status.h"

namespace hone::server::rpc {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// A stream: the status as it is, then once more when it changes. Who leaves the set has ended.
class Health::Watcher final : public grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  Watcher(Health& health, HealthCheckResponse::ServingStatus status) : health_(health) {
    Tell(status);
  }

  // With health_.mutex_ held, and from the constructor. One write is under way at a time.
  void Tell(HealthCheckResponse::ServingStatus status) {
    if (writing_) {
      next_ = status;
      has_next_ = true;
      return;
    }
    writing_ = true;
    told_.set_status(status);
    StartWrite(&told_);
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(health_.mutex_);
    writing_ = false;
    if (ok && std::exchange(has_next_, false)) {
      Tell(next_);
    }
  }

  void OnCancel() override {
    {
      const std::lock_guard lock(health_.mutex_);
      health_.watchers_.erase(this);
    }
    Finish(grpc::Status::CANCELLED);
  }

  void OnDone() override {
    {
      const std::lock_guard lock(health_.mutex_);
      health_.watchers_.erase(this);
    }
    delete this;
  }

 private:
  Health& health_;
  HealthCheckResponse told_;
  bool writing_ = false;  // guarded by health_.mutex_, as all below
  bool has_next_ = false;
  HealthCheckResponse::ServingStatus next_ = HealthCheckResponse::UNKNOWN;
};

namespace {

class Refused final : public grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  explicit Refused(const grpc::Status& why) { Finish(why); }
  void OnDone() override { delete this; }
};

}  // namespace

Health::Health(std::unordered_set<std::string> services) : services_(std::move(services)) {}

void Health::StopServing() {
  const std::lock_guard lock(mutex_);
  serving_ = false;
  for (Watcher* const watcher : watchers_) {
    watcher->Tell(HealthCheckResponse::NOT_SERVING);
  }
}

grpc::ServerUnaryReactor* Health::Check(grpc::CallbackServerContext* context,
                                        const HealthCheckRequest* request,
                                        HealthCheckResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  if (!services_.contains(request->service())) {
    reactor->Finish(ToGrpc(absl::NotFoundError("there is no such service")));
    return reactor;
  }
  {
    const std::lock_guard lock(mutex_);
    response->set_status(serving_ ? HealthCheckResponse::SERVING
                                  : HealthCheckResponse::NOT_SERVING);
  }
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerWriteReactor<HealthCheckResponse>* Health::Watch(
    grpc::CallbackServerContext* /*context*/, const HealthCheckRequest* request) {
  const std::lock_guard lock(mutex_);
  if (watchers_.size() >= kMostWatchers) {
    return new Refused(
        ToGrpc(absl::ResourceExhaustedError("too many watch the server's health; call Check")));
  }
  const bool known = services_.contains(request->service());
  auto* const watcher = new Watcher(*this, !known     ? HealthCheckResponse::SERVICE_UNKNOWN
                                           : serving_ ? HealthCheckResponse::SERVING
                                                      : HealthCheckResponse::NOT_SERVING);
  watchers_.insert(watcher);
  return watcher;
}

}  // namespace hone::server::rpc
