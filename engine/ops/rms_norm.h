#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// Root mean square normalisation (Zhang and Sennrich, 2019) over the last dimension:
// y = x / sqrt(mean of x² + ε) · scale; the scale is [last dimension].
Value RmsNorm(Graph& graph, Value x, Value scale, float epsilon = 1e-6f);

}  // namespace hone::engine
