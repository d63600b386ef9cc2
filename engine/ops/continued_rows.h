#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// What rows of state begin a step with, where texts are written token by token and several go on
// from one, as beams do: of row r, which is at place p = places[r] of its text, the row
// ancestors[r, p − 1] of `states` [rows, n], or at place 0 row i of `start` [sequences, n], the
// sequence i whose rows, [offsets[i], offsets[i + 1]), r is among. `ancestors` is s32 [rows,
// places], as in ops/cached_attention.h. Rows behind the last sequence get zeros. A run fails where
// a place, a row or the offsets are none. Not differentiated.
Value ContinuedRows(Graph& graph, Value states, Value start, Value ancestors, Value places,
                    Value offsets);

}  // namespace hone::engine
