#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "engine/graph/graph.h"

// What an op's random numbers are keyed by.
namespace hone::engine {

// Tells an op's numbers from those of all others: by the scope that it is added in, its kind, and
// how many of that kind the scope has already. Before the op is added.
uint64_t RandomLayer(const Graph& graph, absl::string_view kind);

// The key of that op's numbers in one run.
uint64_t RandomKey(const RunScalars& scalars, uint64_t layer);

}  // namespace hone::engine
