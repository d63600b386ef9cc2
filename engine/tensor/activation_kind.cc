#include "engine/tensor/activation_kind.h"

#include <cmath>

namespace hone::engine {

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
  return "?";
}

bool GradientUsesOutput(ActivationKind kind) {
  return kind == ActivationKind::kRelu || kind == ActivationKind::kLeakyRelu ||
         kind == ActivationKind::kTanh || kind == ActivationKind::kSigmoid;
}

double ActivationValue(ActivationKind kind, double slope, double x) {
  switch (kind) {
    case ActivationKind::kRelu:
      return x <= 0 ? 0 : x;
    case ActivationKind::kLeakyRelu:
      return x > 0 ? x : slope * x;
    case ActivationKind::kGelu:
      return 0.5 * x * (1 + std::erf(x * M_SQRT1_2));
    case ActivationKind::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case ActivationKind::kTanh:
      return std::tanh(x);
    case ActivationKind::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case ActivationKind::kSilu:
      return x / (1 + std::exp(-x));
    case ActivationKind::kNone:
    case ActivationKind::kSoftmax:
      return x;
  }
  return x;
}

double ActivationDerivative(ActivationKind kind, double slope, double x) {
  switch (kind) {
    case ActivationKind::kRelu:
      return x > 0 ? 1 : 0;
    case ActivationKind::kLeakyRelu:
      return x > 0 ? 1 : slope;
    case ActivationKind::kGelu:
      return 0.5 * (1 + std::erf(x * M_SQRT1_2)) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
    case ActivationKind::kGeluTanh: {
      const double t = std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
      return 0.5 * (1 + t) +
             0.5 * x * (1 - t * t) * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
    }
    case ActivationKind::kTanh:
      return 1 - std::tanh(x) * std::tanh(x);
    case ActivationKind::kSigmoid: {
      const double s = 1 / (1 + std::exp(-x));
      return s * (1 - s);
    }
    case ActivationKind::kSilu: {
      const double s = 1 / (1 + std::exp(-x));
      return s * (1 + x * (1 - s));
    }
    case ActivationKind::kNone:
    case ActivationKind::kSoftmax:
      return 1;
  }
  return 1;
}

}  // namespace hone::engine
