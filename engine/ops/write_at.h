#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// `state` with `part` in the place of its elements [position, position + n) of dimension `axis`, n
// being part's extent there; in the other dimensions both are as large. `position` is an s32 of one
// element, given at each run; the run fails where the part does not fit there. Where a buffer takes
// the result (Graph::Update) and nothing reads the old state afterwards, the part alone is written:
// a key/value cache grows by a row without being copied, and all programs over the store see it.
// Not differentiated.
Value WriteAt(Graph& graph, Value state, Value part, Value position, int axis);

}  // namespace hone::engine
