#pragma once

#include "absl/status/status.h"
#include "engine/job/trainer.h"
#include "hone/v1/worker.pb.h"

namespace hone::server::worker {

// Why a job failed, in the words of the protocol: by what it was doing and by the status. Code
// UNAVAILABLE is what the surroundings did to it, such as a download that failed: it may be tried
// again.
v1::Failure ToFailure(const absl::Status& status, engine::job::Phase phase, int64_t step);

}  // namespace hone::server::worker
