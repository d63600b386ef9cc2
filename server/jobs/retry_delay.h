#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace hone::server::jobs {

// The payload's key, as in google.protobuf.Any.
inline constexpr char kRetryInfoUrl[] = "type.googleapis.com/google.rpc.RetryInfo";

// Says after what time another try makes sense: a google.rpc.RetryInfo as payload.
absl::Status WithRetryDelay(absl::Status status, absl::Duration delay);

}  // namespace hone::server::jobs
