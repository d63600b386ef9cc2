#include "engine/plan/memory_plan.h"

#include <algorithm>
#include <numeric>

namespace hone::engine {

MemoryPlan PlanMemory(const std::vector<Lifetime>& pieces) {
  MemoryPlan plan;
  plan.offsets.assign(pieces.size(), 0);
  std::vector<size_t> order(pieces.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return pieces[a].bytes > pieces[b].bytes; });
  const auto aligned = [&](size_t i) { return (pieces[i].bytes + 63) / 64 * 64; };
  std::vector<size_t> placed;  // by offset
  for (const size_t i : order) {
    int64_t offset = 0;
    for (const size_t other : placed) {
      const bool together =
          pieces[i].first <= pieces[other].last && pieces[other].first <= pieces[i].last;
      if (together && offset + aligned(i) > plan.offsets[other]) {
        offset = std::max(offset, plan.offsets[other] + aligned(other));
      }
    }
    plan.offsets[i] = offset;
    plan.bytes = std::max(plan.bytes, offset + aligned(i));
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), i,
                         [&](size_t a, size_t b) { return plan.offsets[a] < plan.offsets[b]; }),
        i);
  }
  return plan;
}

}  // namespace hone::engine
