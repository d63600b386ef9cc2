#pragma once

#include "engine/ops/cross_entropy.h"

namespace hone::engine {

// Sigmoid cross-entropy of one logit x for each example, [batch] or [batch, 1], and labels s32
// [batch] in {0, 1} (negative: ignored):
//   loss = w[y] · (max(x, 0) − x · t + log(1 + exp(−|x|))),  t = y · (1 − ε) + ε / 2
//   weight = w[y]
// with label smoothing ε and class weights w (none or two). An example is right if x > 0 says y.
Loss BinaryCrossEntropy(Graph& graph, Value logits, Value labels,
                        const CrossEntropyOptions& options);

}  // namespace hone::engine
