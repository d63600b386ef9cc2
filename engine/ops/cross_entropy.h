#pragma once

#include <vector>

#include "engine/graph/graph.h"
#include "engine/ops/loss.h"

namespace hone::engine {

struct CrossEntropyOptions {
  float label_smoothing = 0;
  std::vector<float> class_weights;  // empty: all 1
  float z_loss = 0;                  // z of kernels/cross_entropy.h
};

// Softmax cross-entropy of logits [batch, …, classes] and labels s32 [batch, …], a row each
// (negative: ignored);
// formula in kernels/cross_entropy.h. A run fails where a label is not below `classes`.
Loss CrossEntropy(Graph& graph, Value logits, Value labels, const CrossEntropyOptions& options);

}  // namespace hone::engine
