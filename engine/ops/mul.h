#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// a · b, element by element, of the same shape.
Value Mul(Graph& graph, Value a, Value b);

}  // namespace hone::engine
