#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// y[n, c, h, w] = x[n, c, h, w] + b[c], b f32: a bias of pictures, in whatever layout they are.
Value AddToChannels(Graph& graph, Value x, Value b);

}  // namespace hone::engine
