#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// NEFTune's noise (Jain et al., "NEFTune: Noisy Embeddings Improve Instruction Finetuning", 2023):
// to each of a token's numbers, x [rows, width], alpha ÷ √(tokens of its sequence · width) times a
// uniform number of [−1, 1) is added. Rows behind the last sequence stay as they are. What is added
// follows from the run's seed and step, the scope, the sequence's number in the whole batch and the
// token's place in it, so that no two tokens share it however the batch is shared out. An alpha of
// 0 adds no node.
Value EmbeddingNoise(Graph& graph, Value x, Value offsets, float alpha);

}  // namespace hone::engine
