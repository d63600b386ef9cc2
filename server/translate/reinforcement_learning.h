#pragma once

#include "absl/status/statusor.h"
#include "engine/tasks/reinforcement_learning.h"
#include "hone/v1/job.pb.h"

namespace hone::server::translate {

// The task of a job of reinforcement learning, with its length. INVALID_ARGUMENT names the field,
// and the line and column of a maze.
absl::StatusOr<engine::tasks::ReinforcementLearningOptions> ToReinforcementLearning(
    const v1::JobSpec& spec);

}  // namespace hone::server::translate
