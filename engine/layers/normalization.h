#pragma once

#include <string>

#include "engine/layers/activation.h"

namespace hone::engine::layers {

struct BatchNormOptions {
  std::string name;
  bool frozen = false;
  float momentum = 0.9f;  // share of the old running value kept at a step
  float epsilon = 1e-5f;
  ActivationKind activation = ActivationKind::kNone;
};

// Normalises each channel over the batch while it trains, and with the running statistics
// otherwise or when it is frozen. `NAME.weight`, `NAME.bias`, and the buffers `NAME.running_mean`
// and `NAME.running_variance`, all [channels].
Value BatchNorm(Graph& graph, Value x, const BatchNormOptions& options, bool training);

struct LayerNormOptions {
  std::string name;
  bool frozen = false;
  float epsilon = 1e-5f;
  bool use_bias = true;
};

// Normalises each example over its last dimension. `NAME.weight` and, if wanted, `NAME.bias` [that
// dimension].
Value LayerNorm(Graph& graph, Value x, const LayerNormOptions& options);

struct RmsNormOptions {
  std::string name;
  bool frozen = false;
  float epsilon = 1e-6f;
};

// Divides each example by its root mean square over the last dimension. `NAME.weight` [that
// dimension].
Value RmsNorm(Graph& graph, Value x, const RmsNormOptions& options);

struct DropoutOptions {
  std::string name;
  float rate = 0;  // share of the values set to zero, [0, 1)
};

// While it trains: zero with probability `rate`, else x / (1 − rate). Otherwise x itself.
Value Dropout(Graph& graph, Value x, const DropoutOptions& options, bool training);

}  // namespace hone::engine::layers
