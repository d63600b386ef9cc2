#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// Tokens of sequences in which some are guesses: token t of a sequence, each but the first, is with
// the probability `share` (f32 [], read at each run) the one with the largest of the numbers
// `logits` [rows, vocabulary] of the row before, the first of several, and else what `tokens` s32
// [rows] has there. Which ones follows from the run's seed and step, the graph's scope, the
// sequence's place in the whole batch and t. Rows behind the last sequence stay as they are. A run
// fails where the offsets are none. Nothing is differentiated: a guess is no function of what made
// it. This is a pass of parallel scheduled sampling (Mihaylova, Martins, "Scheduled Sampling for
// Transformers", 2019; Duckworth, Neelakantan, Goodrich, Kaiser, Bengio, "Parallel Scheduled
// Sampling", 2019).
Value GuessedTokens(Graph& graph, Value tokens, Value logits, Value offsets, Value share);

}  // namespace hone::engine
