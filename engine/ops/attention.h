#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

struct AttentionOptions {
  int64_t heads = 1;
  int64_t kv_heads = 0;  // heads of keys and values, a divisor of `heads`; 0: as many
  bool causal = false;  // a query sees no keys behind its own; the last query's own is the last key
  int64_t window = 0;   // of a causal one: above 0, so many keys at most, its own among them
  float dropout = 0;    // share of the weights that are set to zero, [0, 1)
  float scale = 0;      // of query · key; 0: 1 / sqrt(numbers of a head)
  // Scores fall with the distance of a key from the query's own place (kernels/attention.h).
  bool alibi = false;
};

// softmax(scale · q kᵀ) v for each head of each sequence (Vaswani et al., "Attention Is All You
// Need", 2017), over rows of tokens with their offsets (tensor/token_rows.h): sequence i of the
// queries sees sequence i of the keys and no other, so no padding needs a mask. q is [rows, heads ·
// dim], k and v are [key rows, kv_heads · dim], heads side by side; the result is as q. Zeros where
// a query has no key, and behind the last sequence. A run fails where offsets are none, or there
// are not as many sequences of keys as of queries. Dropout's choices follow from seed, step, layer,
// and the places of query and key in the batch.
Value Attention(Graph& graph, Value q, Value k, Value v, Value offsets, Value key_offsets,
                const AttentionOptions& options);
// Of a sequence to itself.
inline Value Attention(Graph& graph, Value q, Value k, Value v, Value offsets,
                       const AttentionOptions& options) {
  return Attention(graph, q, k, v, offsets, offsets, options);
}

}  // namespace hone::engine
