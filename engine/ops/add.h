#pragma once

#include "engine/graph/graph.h"
#include "engine/graph/sum.h"

namespace hone::engine {

// Sum(graph, a, b): see graph/sum.h. Same shapes; broadcasting is AddBroadcast.

}  // namespace hone::engine
