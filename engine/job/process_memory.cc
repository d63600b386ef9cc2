#include "engine/job/process_memory.h"

#include <malloc.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace hone::engine::job {
namespace {

// A line of /proc/self/status such as "VmHWM:     12345 kB".
int64_t StatusBytes(absl::string_view field) {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (absl::StartsWith(line, field)) {
      return std::strtoll(line.c_str() + field.size(), nullptr, 10) * 1024;
    }
  }
  return 0;
}

}  // namespace

int64_t ResidentMemoryBytes() { return StatusBytes("VmRSS:"); }

int64_t PeakMemoryBytes() { return StatusBytes("VmHWM:"); }

void ReleaseFreeMemory() { ::malloc_trim(0); }

}  // namespace hone::engine::job
