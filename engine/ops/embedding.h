#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// y[…, width] = table[index[…], width]: a row of the table [rows, width] for each s32 index. A run
// fails where an index is not in [0, rows). The table's gradient is dense.
Value Embedding(Graph& graph, Value table, Value index);

}  // namespace hone::engine
