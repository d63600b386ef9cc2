#pragma once

#include "absl/strings/string_view.h"

namespace hone::engine {

// The function that follows a sum: the one list for layers, ops, kernels and what oneDNN computes
// behind its products. All but softmax, which is over the last dimension, are elementwise.
enum class ActivationKind {
  kNone,
  kRelu,
  kLeakyRelu,
  kGelu,
  kGeluTanh,
  kTanh,
  kSigmoid,
  kSilu,
  kSoftmax,
};

// "relu"; "none".
absl::string_view NameOf(ActivationKind kind);

// Of the elementwise kinds:

// The gradient is computed from the activation's output (ReLU, leaky ReLU, tanh, sigmoid) rather
// than from its input.
bool GradientUsesOutput(ActivationKind kind);

// The definition, in double. `slope` is leaky ReLU's, on the negative side. NaN stays NaN.
double ActivationValue(ActivationKind kind, double slope, double x);
// The derivative at input x.
double ActivationDerivative(ActivationKind kind, double slope, double x);

}  // namespace hone::engine
