#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// Each token's row beside those around it: [rows, width] → [rows, (before + 1 + after) · width],
// from the row `before` places before it to the row `after` places behind it, zeros where the
// sequence has none (tensor/token_rows.h). A dense layer over it is a convolution along the
// sequence. A run fails where the offsets are none.
Value TokenWindows(Graph& graph, Value x, Value offsets, int64_t before, int64_t after);

}  // namespace hone::engine
