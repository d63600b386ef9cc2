#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/rpc/call_log.h"
#include "server/rpc/deps.h"

namespace hone::server::rpc {

// Counts, times and logs one stream, as Unary does a call.
class ObservedStream {
 public:
  ObservedStream(Call call, Deps& deps);
  // Of its end, once; what gRPC is to be told. `resource`: what is known of its name by now.
  grpc::Status End(const absl::Status& status, const std::string& resource = "");

 private:
  Call call_;
  metrics::Registry& registry_;
  access::AuditLog& audit_;
  const absl::Duration begin_;  // SteadyNow()
};

}  // namespace hone::server::rpc
