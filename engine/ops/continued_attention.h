#pragma once

#include "engine/graph/graph.h"
#include "engine/ops/cached_attention.h"

namespace hone::engine {

// Causal attention (ops/attention.h) of the newest tokens of several texts, however many of each:
// all of a prompt at once, one token of each of several texts, or nothing of some. q is [rows,
// heads · dim] with `offsets` s32 [texts + 1] (tensor/token_rows.h); keys and values [texts,
// places, kv_heads · dim] hold what each text has at its places, the newest tokens among it, and
// `places` s32 [rows] says which place each of them has: those of a text are in order, without
// gaps. A token sees the places of its text up to its own. The result is as q, zeros in rows behind
// the last text. A run fails where offsets or places are none. Not differentiated.
Value ContinuedAttention(Graph& graph, Value q, Value keys, Value values, Value offsets,
                         Value places, const CachedAttentionOptions& options);

}  // namespace hone::engine
