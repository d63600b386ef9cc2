#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

struct AttentionResult {
  Value mixed;    // what is made of the values
  Value weights;  // not valid where they were not asked for
};

// One look of each query, of the kind that ops/recurrent_decoder.h has before each step: with the
// queries q [rows, n], keys k [key rows, n], values [key rows, m] and v [n], softmax over s of v ·
// tanh(q + k_s), and the mean of the values by these weights, [rows, m]. Sequence i of the queries
// sees sequence i of the keys and no other; zeros where there is no key, and behind the last
// sequence. With `longest` above 0 the weights are there, too, [rows, longest], zeros behind a
// sequence's keys. A run fails where the offsets are none, or a sequence has more keys than that.
// Not differentiated.
AttentionResult AdditiveAttention(Graph& graph, Value q, Value k, Value values, Value score_weight,
                                  Value offsets, Value key_offsets, int64_t longest = 0);

}  // namespace hone::engine
