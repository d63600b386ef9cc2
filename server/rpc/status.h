#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace hone::server::rpc {

// The one converter. Details (google.rpc.BadRequest and the like) travel as payloads of the
// absl::Status and become a google.rpc.Status in the trailer, which every error has: by it a client
// tells an answer of the server from a broken line. RESOURCE_EXHAUSTED and UNAVAILABLE get a
// RetryInfo.
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace hone::server::rpc
