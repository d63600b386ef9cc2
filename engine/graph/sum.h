#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// a + b of the same shape. Declared here because gradients that meet are added; defined with the op
// in ops/add.cc.
Value Sum(Graph& graph, Value a, Value b);

}  // namespace hone::engine
