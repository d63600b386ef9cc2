#pragma once

#include <optional>

#include "engine/graph/graph.h"

// Recurrent layers that begin with a given state and may look at another text before each step; the
// formulas are in kernels/recurrent_decoder.h. A caller gives what each token adds to the gates, as
// for the layers of ops/recurrence.h; start is [batch, units], and results are states [rows,
// units], zeros behind the last sequence. A run fails where offsets are none.
namespace hone::engine {

// What is looked at before each step, with weights by additive scores: rows of tokens with as many
// sequences.
struct DecoderAttention {
  Value keys;            // [key rows, n]
  Value values;          // [key rows, m]
  Value query_weight;    // [units, n]
  Value score_weight;    // [n]
  Value context_weight;  // [m, gates · units]
  Value offsets;
};

// From gates [rows, 3 units] (reset, update, candidate), U [units, 3 units] and the bias [3 units]
// of h U.
Value GruDecoder(Graph& graph, Value gates, Value weight, Value bias, Value start, Value offsets,
                 const std::optional<DecoderAttention>& attention = std::nullopt);

// From gates [rows, 4 units] (in, forget, candidate, out) and U [units, 4 units].
Value LstmDecoder(Graph& graph, Value gates, Value weight, Value start, Value start_cells,
                  Value offsets, const std::optional<DecoderAttention>& attention = std::nullopt);

}  // namespace hone::engine
