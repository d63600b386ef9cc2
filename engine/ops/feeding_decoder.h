#pragma once

#include "engine/graph/graph.h"

// Recurrent layers that look at another text behind each step and are fed what they made of that at
// the next one (Luong's attention with input feeding); the formulas are in
// kernels/feeding_decoder.h. What is given is as in ops/recurrent_decoder.h; results are the
// attentional vectors [rows, units], zeros behind the last sequence. A run fails where offsets are
// none.
namespace hone::engine {

// What is looked at behind each step, rows of tokens with as many sequences, and what is made of
// it.
struct FeedingAttention {
  Value values;          // [key rows, m]
  Value query_weight;    // [units, m]
  Value combine_weight;  // [units + m, units]: of the state and of what was seen, side by side
  Value combine_bias;    // [units]
  Value feed_weight;     // [units, gates · units]
  Value offsets;
};

// From gates [rows, 3 units] (reset, update, candidate), U [units, 3 units] and the bias [3 units]
// of h U.
Value GruFeedingDecoder(Graph& graph, Value gates, Value weight, Value bias, Value start,
                        Value offsets, const FeedingAttention& attention);

// From gates [rows, 4 units] (in, forget, candidate, out) and U [units, 4 units].
Value LstmFeedingDecoder(Graph& graph, Value gates, Value weight, Value start, Value start_cells,
                         Value offsets, const FeedingAttention& attention);

}  // namespace hone::engine
