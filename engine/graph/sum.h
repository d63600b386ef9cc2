#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// a + b of the same shape; broadcasting is AddBroadcast. The one op that stands here rather than in
// ops/: gradients that meet are added.
Value Sum(Graph& graph, Value a, Value b);

// The op behind it, for more terms: ((a + b) + c) + … with the bits of one sum after the other, in
// one pass over memory. Its inputs have one type, of the graph and in memory.
std::shared_ptr<const Op> SumOf(int terms);

}  // namespace hone::engine
