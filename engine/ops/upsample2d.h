#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// [batch, channels, height, width] → [batch, channels, height · factor, width · factor]: each place
// becomes a square of places with its value (nearest neighbour).
Value Upsample2d(Graph& graph, Value x, int64_t factor);

}  // namespace hone::engine
