#pragma once

#include <vector>

#include "engine/graph/graph.h"

namespace hone::engine {

// Joins along dimension 1; all other extents are equal.
Value Concat(Graph& graph, const std::vector<Value>& parts);

// x[:, begin:end, …]
Value Slice(Graph& graph, Value x, int64_t begin, int64_t end);

}  // namespace hone::engine
