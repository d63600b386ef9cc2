#pragma once

#include "hone/v1/job.pb.h"
#include "server/jobs/field_errors.h"

namespace hone::server::jobs {

// The part of CheckSpec for jobs of reinforcement learning: the task, and what other tasks have and
// it has not.
void CheckReinforcementLearning(const v1::JobSpec& spec, FieldErrors& errors);

// The part of Resolve for them. The length in steps is given, or that in episodes.
void ResolveReinforcementLearning(const v1::TrainingSpec& training,
                                  v1::ReinforcementLearning& task);

}  // namespace hone::server::jobs
