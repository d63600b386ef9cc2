#include "engine/layers/activation.h"

#include <optional>

#include "engine/ops/activation.h"
#include "engine/ops/softmax.h"

namespace hone::engine::layers {
namespace {

// The elementwise function; none for what is not one.
std::optional<kernels::ActivationKind> FunctionOf(ActivationKind kind) {
  using Function = kernels::ActivationKind;
  switch (kind) {
    case ActivationKind::kRelu:
      return Function::kRelu;
    case ActivationKind::kLeakyRelu:
      return Function::kLeakyRelu;
    case ActivationKind::kGelu:
      return Function::kGelu;
    case ActivationKind::kGeluTanh:
      return Function::kGeluTanh;
    case ActivationKind::kTanh:
      return Function::kTanh;
    case ActivationKind::kSigmoid:
      return Function::kSigmoid;
    case ActivationKind::kSilu:
      return Function::kSilu;
    case ActivationKind::kNone:
    case ActivationKind::kSoftmax:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

absl::string_view NameOf(ActivationKind kind) {
  if (const auto function = FunctionOf(kind); function.has_value()) {
    return kernels::NameOf(*function);
  }
  return kind == ActivationKind::kSoftmax ? "softmax" : "none";
}

Value Activate(Graph& graph, Value x, ActivationKind kind, float slope) {
  if (const auto function = FunctionOf(kind); function.has_value()) {
    return Activation(graph, x, *function, slope);
  }
  return kind == ActivationKind::kSoftmax ? Softmax(graph, x) : x;
}

}  // namespace hone::engine::layers
