#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// a + b of the same shape; broadcasting is AddBroadcast. The one op that stands here rather than in
// ops/: gradients that meet are added.
Value Sum(Graph& graph, Value a, Value b);

}  // namespace hone::engine
