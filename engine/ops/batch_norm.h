#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// Batch normalisation (Ioffe and Szegedy, 2015) of [batch, channels] or [batch, channels, height,
// width]: y = (x − mean) / sqrt(variance + ε) · scale + shift for each channel. Scale, shift and
// statistics are [channels].
struct BatchNormOptions {
  float epsilon = 1e-5f;
  // running = momentum · running + (1 − momentum) · batch: Keras's meaning, 1 − PyTorch's.
  double momentum = 0.9;
};

// With the statistics of the batch, the variance divided by the count. `running_mean` and
// `running_variance` are buffers that Graph::Update moves towards them; the running variance is
// divided by the count − 1, as PyTorch's.
Value BatchNormOfBatch(Graph& graph, Value x, Value scale, Value shift, Value running_mean,
                       Value running_variance, const BatchNormOptions& options);

// With given statistics: for predictions, and for frozen layers.
Value BatchNormWith(Graph& graph, Value x, Value scale, Value shift, Value mean, Value variance,
                    const BatchNormOptions& options);

}  // namespace hone::engine
