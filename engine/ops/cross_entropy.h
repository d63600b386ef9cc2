#pragma once

#include <vector>

#include "engine/graph/graph.h"

namespace hone::engine {

// What every loss gives: sums over the batch, to be divided once after parts of it are added up.
struct Loss {
  Value sum;      // scalar; what is differentiated
  Value weight;   // scalar; the mean loss is sum / weight
  Value correct;  // scalar: examples predicted right; not valid for regression
};

struct CrossEntropyOptions {
  float label_smoothing = 0;
  std::vector<float> class_weights;  // empty: all 1
};

// Softmax cross-entropy of logits [batch, classes] and labels s32 [batch] (negative: ignored);
// formula in kernels/losses.h.
Loss CrossEntropy(Graph& graph, Value logits, Value labels, const CrossEntropyOptions& options);

}  // namespace hone::engine
