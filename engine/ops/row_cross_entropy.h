#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// Softmax cross-entropy of each row by itself, for losses that weigh rows by what comes of several:
// logits [rows, classes] and labels s32 [rows] give −log p(label), f32 [rows], in nats; 0 where the
// label is negative. A run fails where a label is not below `classes`. The sum over the rows is
// CrossEntropy (cross_entropy.h).
Value RowCrossEntropy(Graph& graph, Value logits, Value labels);

}  // namespace hone::engine
