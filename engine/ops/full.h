#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// A tensor of that shape, every element `value`: the state that a loop starts from.
Value Full(Graph& graph, const Shape& shape, double value);

}  // namespace hone::engine
