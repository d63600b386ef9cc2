#pragma once

#include "engine/graph/graph.h"
#include "engine/tensor/activation_kind.h"

namespace hone::engine {

// y = f(x), element by element, of any kind but softmax; x itself for kNone. `slope` is leaky
// ReLU's on the negative side.
Value Activation(Graph& graph, Value x, ActivationKind kind, float slope = 0.2f);

inline Value Relu(Graph& graph, Value x) { return Activation(graph, x, ActivationKind::kRelu); }

// dx = dy · f'; `from` is the activation's output or input, whichever its gradient is computed
// from.
Value ActivationGradient(Graph& graph, Value dy, Value from, ActivationKind kind, float slope);

// What a pass must know of an activation's gradient to move it: its kind and slope, or nullptr for
// another op.
struct ActivationInfo {
  ActivationKind kind;
  float slope;
};
const ActivationInfo* AsActivation(const Op& op);
const ActivationInfo* AsActivationGradient(const Op& op);

}  // namespace hone::engine
