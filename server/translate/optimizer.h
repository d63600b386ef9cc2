#pragma once

#include "engine/optim/optimizer.h"
#include "engine/optim/schedule.h"
#include "hone/v1/job.pb.h"

namespace hone::server::translate {

// Adam where the job file names none.
engine::optim::OptimizerOptions ToOptimizer(const v1::Optimizer& in);
engine::optim::Schedule ToSchedule(const v1::Schedule& in);

}  // namespace hone::server::translate
