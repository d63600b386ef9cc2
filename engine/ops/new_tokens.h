#pragma once

#include "engine/graph/graph.h"

// What is kept of sequences that come piece by piece, as rows of state: the r-th sequence of a run
// (tensor/token_rows.h) is the next piece of what row r of the state belongs to, and may be empty.
// Nothing is learned through what was before: none of these is differentiated, and all compute in
// f32. A run fails where the offsets are none.
namespace hone::engine {

// `state` [sequences, places, width] with the row of each token of `part` [rows, width] where its
// sequence has it: token i of sequence r at state[r, places[i]], `places` s32 [rows]. Rows behind
// the last sequence are left out. A run fails where a place is none of the state's. As with
// WriteAt, a buffer that takes the result has those rows alone written, in place.
Value WriteTokens(Graph& graph, Value state, Value part, Value offsets, Value places);

// The row of a state that a sequence has: r ≥ 0 where it goes on from there, ~r (−1 − r) where it
// begins anew and leaves its end there. Of two sequences with one row the later leaves its end.
inline int32_t StateRow(int64_t row, bool goes_on) {
  return static_cast<int32_t>(goes_on ? row : ~row);
}

// What sequences begin with, [sequences, width]: the rows of `state` [n, width] that `rows` s32
// [sequences] says, zeros where one begins anew. A run fails where the state has no such row.
Value CarriedStart(Graph& graph, Value state, Value rows);

// `state` [n, width] with what each sequence ends with in its row: the last of its rows of `states`
// [tokens, width]. The rows of empty sequences, and those of none, are as they were.
Value CarriedEnd(Graph& graph, Value state, Value states, Value offsets, Value rows);

}  // namespace hone::engine
