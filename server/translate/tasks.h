#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/tasks/config.h"
#include "hone/v1/job.pb.h"

namespace hone::server::translate {

// What a job learns, with every default of the job file filled in. INVALID_ARGUMENT names the
// field.
absl::StatusOr<engine::tasks::TaskOptions> ToTask(const v1::JobSpec& spec);

// Tokens that a language model sees at once.
int64_t WindowOf(const v1::JobSpec& spec);

}  // namespace hone::server::translate
