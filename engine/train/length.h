#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "engine/tasks/config.h"
#include "engine/tasks/data_info.h"

namespace hone::engine::train {

// Updates of the whole run and of an epoch.
struct Length {
  int64_t steps_per_epoch = 0;
  int64_t total_steps = 0;
  int64_t last_step = 0;  // at which the run ends: before, where it is to stop there
};
Length LengthOf(const tasks::TrainingConfig& config, const tasks::DataInfo& info);

// INVALID_ARGUMENT where the run ends before the first validation that it asks for.
absl::Status CheckLength(const tasks::TrainingConfig& config, const tasks::DataInfo& info);

}  // namespace hone::engine::train
