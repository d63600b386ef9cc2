#include "server/rpc/observed_stream.h"

#include <utility>

#include "engine/base/steady_clock.h"
#include "server/rpc/status.h"

namespace hone::server::rpc {

ObservedStream::ObservedStream(Call call, Deps& deps)
    : call_(std::move(call)), registry_(deps.registry), audit_(deps.audit), begin_(SteadyNow()) {
  registry_.Add(metrics::Metric::kRpcStarted, {call_.method}, 1);
}

grpc::Status ObservedStream::End(const absl::Status& status, const std::string& resource) {
  const absl::Duration took = SteadyNow() - begin_;
  if (!resource.empty()) {
    call_.resource = resource;
  }
  registry_.Observe(metrics::Metric::kRpcDuration,
                    {call_.method, absl::StatusCodeToString(status.code())},
                    absl::ToDoubleSeconds(took));
  LogCall(call_, status, took);
  const bool refused = absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
  if (call_.changes || refused) {
    audit_.Record(ToEntry(call_, status), refused);
  }
  return ToGrpc(status);
}

}  // namespace hone::server::rpc
