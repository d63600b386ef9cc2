#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// Layer normalisation (Ba, Kiros and Hinton, 2016) over the last dimension:
// y = (x − mean) / sqrt(variance + ε) · scale + shift; scale and shift are [last dimension].
Value LayerNorm(Graph& graph, Value x, Value scale, Value shift, float epsilon = 1e-5f);

}  // namespace hone::engine
