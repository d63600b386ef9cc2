#pragma once

#include <chrono>

#include "absl/time/time.h"

namespace hone {

// Time since some moment in the past. It runs on evenly whatever the system's clock is set to: for
// limits and intervals, where absl::Now() would jump.
inline absl::Duration SteadyNow() {
  return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace hone
