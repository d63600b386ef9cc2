#pragma once

#include <cstdint>

namespace hone::engine::job {

// Of this process, as the kernel counts them; 0 where it does not say.
int64_t ResidentMemoryBytes();  // now
int64_t PeakMemoryBytes();      // at most, since the start

// Gives the system back what was allocated and is free again, such as all that planning made on its
// way; else it stays with the process.
void ReleaseFreeMemory();

}  // namespace hone::engine::job
