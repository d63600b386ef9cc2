#pragma once

#include <cstdint>

namespace hone::engine::job {

// Of this process, as the kernel counts them; 0 where it does not say.
int64_t ResidentMemoryBytes();  // now
int64_t PeakMemoryBytes();      // at most, since the start

}  // namespace hone::engine::job
