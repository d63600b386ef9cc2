#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// The same elements, row major, with other extents.
Value Reshape(Graph& graph, Value x, const Shape& shape);

// [batch, …] → [batch, everything else]
Value Flatten(Graph& graph, Value x);

}  // namespace hone::engine
