#pragma once

#include "absl/time/time.h"

namespace hone::server {

// The clock of tests that do not let it run.
inline constexpr absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

}  // namespace hone::server
