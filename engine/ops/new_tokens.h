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

// What sequences begin with: the first rows of `state` [n, width], one for each of `goes_on` s32
// [sequences], at most n; zeros where that is 0, whatever the state is there.
Value CarriedStart(Graph& graph, Value state, Value goes_on);

// `state` [n, width] with what each sequence ends with in its row: the last of its rows of `states`
// [rows, width]. The row of an empty sequence, and rows of no sequence, are as they were.
Value CarriedEnd(Graph& graph, Value state, Value states, Value offsets);

}  // namespace hone::engine
