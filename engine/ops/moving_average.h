#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// momentum · old + (1 − momentum) · factor · now: for running statistics, which Graph::Update puts
// back into their buffer. Not differentiated.
Value MovingAverage(Graph& graph, Value old, Value now, double momentum, double factor = 1);

}  // namespace hone::engine
