#include "engine/layers/activation.h"

#include "engine/ops/activation.h"
#include "engine/ops/softmax.h"

namespace hone::engine::layers {

Value Activate(Graph& graph, Value x, ActivationKind kind, float slope) {
  switch (kind) {
    case ActivationKind::kNone:
      return x;
    case ActivationKind::kSoftmax:
      return Softmax(graph, x);
    default:
      return Activation(graph, x, kind, slope);
  }
}

}  // namespace hone::engine::layers
