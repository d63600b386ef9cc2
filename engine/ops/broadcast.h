#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// a + b, where b is repeated to a's shape: b's extents, aligned at the last, are a's or 1.
Value AddBroadcast(Graph& graph, Value a, Value b);

// a · b, where b is repeated in the same way: a mask, a gate, a scale for each channel.
Value MulBroadcast(Graph& graph, Value a, Value b);

// The sum over what these repeat: x to `shape`. Not differentiated.
Value SumTo(Graph& graph, Value x, const Shape& shape);

}  // namespace hone::engine
