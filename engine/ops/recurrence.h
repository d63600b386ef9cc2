#pragma once

#include <optional>

#include "engine/graph/graph.h"

// Recurrent layers over sequences that lie in rows of tokens (tensor/token_rows.h). A caller gives
// what each token adds to the gates, x W + b for all tokens in one product; the op is the rest, all
// steps of all sequences. The formulas and the gates' order are in kernels/recurrence.h. A state is
// 0 before a sequence's first token where none is given, and what a sequence's last token leaves is
// in that token's row: rows behind the last sequence get zeros. A run fails where the offsets are
// none.
namespace hone::engine {

struct RecurrenceOptions {
  bool reverse = false;  // from each sequence's last token to its first
  // What each sequence begins with, [batch, units]: its state and, of an LSTM, its cells too: both
  // or neither. No gradient goes to them: where one is wanted the graph is UNIMPLEMENTED.
  std::optional<Value> start = std::nullopt;
  std::optional<Value> start_cells = std::nullopt;
};

// States [rows, units] from gates [rows, units], U [units, units]: h' = tanh(x + h U).
Value SimpleRnn(Graph& graph, Value gates, Value weight, Value offsets,
                const RecurrenceOptions& options = {});

// States [rows, units] from gates [rows, 4 units] (in, forget, candidate, out) and U [units, 4
// units]. Neither has a bias of its own here: Keras's one, and the sum of PyTorch's two, is in the
// gates.
Value Lstm(Graph& graph, Value gates, Value weight, Value offsets,
           const RecurrenceOptions& options = {});
// Of what Lstm gives: the cells c' that belong to the states, [rows, units].
Value CellsOfLstm(const Graph& graph, Value states);

// States [rows, units] from gates [rows, 3 units] (reset, update, candidate), U [units, 3 units]
// and the bias [3 units] of h U, PyTorch's b_hh and the second row of Keras's.
Value Gru(Graph& graph, Value gates, Value weight, Value bias, Value offsets,
          const RecurrenceOptions& options = {});

// The same with the reset before the product with U, as Keras has it without `reset_after`. There
// is no bias of its own.
Value GruResetFirst(Graph& graph, Value gates, Value weight, Value offsets,
                    const RecurrenceOptions& options = {});

}  // namespace hone::engine
