#pragma once

#include "engine/graph/graph.h"
#include "engine/ops/attention.h"

namespace hone::engine {

// What Attention (ops/attention.h) multiplies the values by, the mean of all heads: [rows, longest]
// of the queries [rows, heads · dim] and the keys of sequences that have no more tokens than that,
// zeros behind them. To be shown, not to be computed with: without dropout, not for causal
// attention nor for grouped heads (INVALID_ARGUMENT), and not differentiated. A run fails where the
// offsets are none, or a sequence has more keys.
Value AttentionWeights(Graph& graph, Value q, Value k, Value offsets, Value key_offsets,
                       int64_t longest, const AttentionOptions& options);

}  // namespace hone::engine
