#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// Softmax over the last dimension.
Value Softmax(Graph& graph, Value x);

}  // namespace hone::engine
