#include "engine/layers/activation.h"

#include "engine/ops/activation.h"
#include "engine/ops/softmax.h"

namespace hone::engine::layers {

absl::string_view NameOf(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::kNone:
      return "none";
    case ActivationKind::kRelu:
      return "relu";
    case ActivationKind::kLeakyRelu:
      return "leaky_relu";
    case ActivationKind::kGelu:
      return "gelu";
    case ActivationKind::kGeluTanh:
      return "gelu_tanh";
    case ActivationKind::kTanh:
      return "tanh";
    case ActivationKind::kSigmoid:
      return "sigmoid";
    case ActivationKind::kSilu:
      return "silu";
    case ActivationKind::kSoftmax:
      return "softmax";
  }
  return "none";
}

Value Activate(Graph& graph, Value x, ActivationKind kind, float slope) {
  using Function = kernels::ActivationKind;
  switch (kind) {
    case ActivationKind::kNone:
      return x;
    case ActivationKind::kRelu:
      return Activation(graph, x, Function::kRelu);
    case ActivationKind::kLeakyRelu:
      return Activation(graph, x, Function::kLeakyRelu, slope);
    case ActivationKind::kGelu:
      return Activation(graph, x, Function::kGelu);
    case ActivationKind::kGeluTanh:
      return Activation(graph, x, Function::kGeluTanh);
    case ActivationKind::kTanh:
      return Activation(graph, x, Function::kTanh);
    case ActivationKind::kSigmoid:
      return Activation(graph, x, Function::kSigmoid);
    case ActivationKind::kSilu:
      return Activation(graph, x, Function::kSilu);
    case ActivationKind::kSoftmax:
      return Softmax(graph, x);
  }
  return x;
}

}  // namespace hone::engine::layers
