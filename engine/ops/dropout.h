#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// y = 0 with probability `rate`, else x / (1 − rate) (Srivastava et al., 2014). x is [batch, …].
// What is kept follows from the run's seed and step, the layer (the graph's scope, and which
// dropout of that scope it is) and the element's place in the whole batch: not from threads, shards
// or attempts. A rate of 0 adds no node.
Value Dropout(Graph& graph, Value x, float rate);

}  // namespace hone::engine
