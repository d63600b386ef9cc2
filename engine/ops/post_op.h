#pragma once

#include <optional>

#include "engine/kernels/elementwise.h"
#include "engine/onednn/primitive.h"

namespace hone::engine {

// The post-op that a product can compute in the same pass, if its gradient needs only the output.
inline std::optional<onednn::PostOp> PostOpFor(kernels::ActivationKind kind) {
  switch (kind) {
    case kernels::ActivationKind::kRelu:
      return onednn::PostOp::kRelu;
    case kernels::ActivationKind::kTanh:
      return onednn::PostOp::kTanh;
    case kernels::ActivationKind::kSigmoid:
      return onednn::PostOp::kSigmoid;
    default:
      return std::nullopt;
  }
}

inline double ApplyPostOp(onednn::PostOp op, double x) {
  using Kind = kernels::ActivationKind;
  switch (op) {
    case onednn::PostOp::kNone:
      return x;
    case onednn::PostOp::kRelu:
      return kernels::ActivationValue(Kind::kRelu, 0, x);
    case onednn::PostOp::kTanh:
      return kernels::ActivationValue(Kind::kTanh, 0, x);
    case onednn::PostOp::kSigmoid:
      return kernels::ActivationValue(Kind::kSigmoid, 0, x);
  }
  return x;
}

}  // namespace hone::engine
