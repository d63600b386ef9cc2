#pragma once

#include <cstdint>
#include <vector>

namespace hone::engine {

// A piece of memory and when it is in use: from step `first` to step `last`, inclusive.
struct Lifetime {
  int64_t bytes = 0;
  int32_t first = 0;
  int32_t last = 0;
};

struct MemoryPlan {
  std::vector<int64_t> offsets;
  int64_t bytes = 0;
};

// Places the pieces so that those in use at the same time never overlap; offsets are multiples
// of 64. Largest first, each at the lowest free place ("greedy by size", Pisarchyk and Lee,
// "Efficient Memory Management for Deep Neural Net Inference", 2020).
MemoryPlan PlanMemory(const std::vector<Lifetime>& pieces);

}  // namespace hone::engine
