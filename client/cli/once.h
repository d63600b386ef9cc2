#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "client/client.h"
#include "hone/v1/job_resource.pb.h"

namespace hone::client::cli {

// A request_id for one call that makes a job, so that trying it again cannot make a second one.
std::string NewRequestId();

// `call` has a request_id. The server may be about to start: where the line to it is broken, a few
// more tries.
absl::StatusOr<v1::Job> TryAgain(Client& client, absl::FunctionRef<absl::StatusOr<v1::Job>()> call);

}  // namespace hone::client::cli
