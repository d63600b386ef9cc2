#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// x · factor, the factor a scalar that is not differentiated. A constant 1 adds no node.
Value ScaleBy(Graph& graph, Value x, Value factor);

}  // namespace hone::engine
