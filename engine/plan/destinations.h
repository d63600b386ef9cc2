#pragma once

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "engine/onednn/primitive.h"
#include "engine/plan/passes.h"

namespace hone::engine {

// Where a value may be put at once: into a part of `whole`, the value of the one node that reads it
// and joins parts (the gradient of slices, a concatenation), through reshapes and transposes that
// nothing else reads. The reader then finds the part in its place.
struct Destination {
  Value whole;
  onednn::MemoryDesc desc;  // of the value there, with gaps
  int64_t offset = 0;       // of its first element in the row major whole, in bytes
  int64_t bytes = 0;        // from its first element to behind its last
};

inline int64_t KeyOf(Value value) { return (int64_t{value.node} << 16) + value.output; }

// By KeyOf the value. Element types are those of the plan (ChoosePrecision).
absl::flat_hash_map<int64_t, Destination> FindDestinations(const PlanGraph& plan);

}  // namespace hone::engine
