#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "hone/v1/job.pb.h"

namespace hone::server::rpc {

// What the text of a job file says, as `hone submit` would send it. INVALID_ARGUMENT with a
// BadRequest: each field that is wrong, whose description begins with `line L, column C: ` where it
// stands in the text; the field `job_file` for a text that is none. A place on the client's machine
// (`data.path` and the like) is wrong here. Takes up to a second for a text of a mebibyte, which is
// the most that there may be.
absl::StatusOr<v1::JobSpec> SpecOfJobFile(const std::string& text);

}  // namespace hone::server::rpc
