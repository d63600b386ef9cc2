#pragma once

#include "engine/graph/graph.h"
#include "engine/tensor/activation_kind.h"

namespace hone::engine::layers {

// The function that follows a layer's sum: x itself for kNone. `slope` is leaky ReLU's, on the
// negative side.
Value Activate(Graph& graph, Value x, ActivationKind kind, float slope = 0.2f);

}  // namespace hone::engine::layers
