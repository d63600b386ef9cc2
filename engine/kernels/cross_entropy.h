#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace hone::engine::kernels {

// What a loss says of a batch: sums, not means, so that parts of a batch can be added up and
// divided once.
struct LossSums {
  double loss = 0;
  double weight = 0;
  double correct = 0;  // examples whose largest logit, the first of equal ones, is the label's
};

// Softmax and cross-entropy of rows [begin, end) of logits in one pass. Of an example with label y
// and class weights w (default 1):
//   loss = (1 − ε) w[y] (−log p[y]) + ε / classes · Σc w[c] (−log p[c]),  weight = w[y]
// as PyTorch's CrossEntropyLoss defines label smoothing ε, and besides z w[y] (log Σc exp x[c])²,
// which keeps logits from growing (de Brébisson and Vincent, 2016; PaLM's z-loss). A negative label
// is ignored: no loss, no weight, no gradient. `gradient`, unless null, gets d(loss) / d(logits);
// it may be the logits' own memory. Nothing where a label is not below `classes`: then the gradient
// is not complete.
std::optional<LossSums> SoftmaxCrossEntropy(const float* logits, const int32_t* labels,
                                            int64_t classes, float smoothing,
                                            std::span<const float> class_weights, float* gradient,
                                            int64_t begin, int64_t end, float z = 0);

}  // namespace hone::engine::kernels
