#pragma once

#include <string>

#include "engine/layers/dense.h"

namespace hone::engine::layers {

// The feed-forward part of a Transformer's block with a gate (Shazeer, "GLU Variants Improve
// Transformer", 2020): with kSilu SwiGLU, with kGelu GEGLU, with kSigmoid the plain one.
struct GluOptions {
  std::string name = {};
  bool frozen = false;
  int64_t units = 0;  // in between
  ActivationKind activation = ActivationKind::kSilu;
  bool use_bias = false;
  WeightInitializer initializer = {};
  bool transposed = false;  // the weights are [out, in], as in Hugging Face's files
};

// [batch, …, width] → the same: (f(x · gate) ⊙ (x · up)) · down. `NAME.gate` and `NAME.up` have
// `.weight` [width, units] and `.bias` [units], `NAME.down` [units, width] and [width].
Value Glu(Graph& graph, Value x, const GluOptions& options);

}  // namespace hone::engine::layers
