#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// `state` with `part` in the place of its elements [position, position + n) of dimension `axis`, n
// being part's extent there; in the other dimensions both are as large. `position` is an s32 of one
// element, given at each run, or one for each index of dimension 0, the batch, where that is not
// the axis: rows of a cache that have come to different lengths. The run fails where the part does
// not fit there. The result has the state's declared element type. Where a buffer takes the result
// (Graph::Update) the part alone is written, after all others have read the old state: a key/value
// cache grows by a row without being copied, and all programs over the store see it. A plan in
// which a reader of the old state can only come later is FAILED_PRECONDITION. Not differentiated.
Value WriteAt(Graph& graph, Value state, Value part, Value position, int axis);

}  // namespace hone::engine
