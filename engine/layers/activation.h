#pragma once

#include "engine/graph/graph.h"

namespace hone::engine::layers {

// The function that follows a layer's sum.
enum class ActivationKind {
  kNone,
  kRelu,
  kLeakyRelu,
  kGelu,
  kGeluTanh,
  kTanh,
  kSigmoid,
  kSilu,
  kSoftmax,  // over the last dimension
};

// "relu"; "none".
absl::string_view NameOf(ActivationKind kind);

// x itself for kNone. `slope` is leaky ReLU's, on the negative side.
Value Activate(Graph& graph, Value x, ActivationKind kind, float slope = 0.2f);

}  // namespace hone::engine::layers
