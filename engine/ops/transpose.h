#pragma once

#include <vector>

#include "engine/graph/graph.h"

namespace hone::engine {

// Dimension d of the result is dimension axes[d] of x: {0, 2, 1, 3} makes [batch, heads, time, …]
// of [batch, time, heads, …]. f32 or s32.
Value Transpose(Graph& graph, Value x, const std::vector<int>& axes);

// For the plan: the axes of such an op, else null.
const std::vector<int>* TransposedAxes(const Op& op);

}  // namespace hone::engine
