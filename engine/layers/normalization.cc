#include "engine/layers/normalization.h"

#include "absl/strings/str_cat.h"
#include "engine/layers/parameters.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/dropout.h"
#include "engine/ops/full.h"
#include "engine/ops/layer_norm.h"
#include "engine/ops/rms_norm.h"

namespace hone::engine::layers {

using Start = Initializer::Kind;

Value BatchNorm(Graph& graph, Value x, const BatchNormOptions& options, bool training) {
  Graph::Scope scope(graph, options.name, "batch_norm");
  const Shape& shape = graph.shape(x);
  if (shape.rank() != 2 && shape.rank() != 4) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat(graph.scope(),
                     ": its input must be [features] or [channels, height, width] for one example, "
                     "got a batch of ",
                     shape.ToString())));
  }
  const int64_t channels = shape[1];
  const LayerParameters parameters(graph, options.frozen);
  const Value scale = parameters.Vector("weight", channels, Start::kOnes);
  const Value shift = parameters.Vector("bias", channels, Start::kZeros);
  const Value mean = parameters.BufferVector("running_mean", channels, Start::kZeros);
  const Value variance = parameters.BufferVector("running_variance", channels, Start::kOnes);
  const engine::BatchNormOptions op{.epsilon = options.epsilon, .momentum = options.momentum};
  // Frozen by its options, or by who freezes parameters by their names.
  const bool frozen = graph.node(scale.node).parameter.role == ParameterRole::kFrozen;
  const Value y = training && !frozen ? BatchNormOfBatch(graph, x, scale, shift, mean, variance, op)
                                      : BatchNormWith(graph, x, scale, shift, mean, variance, op);
  return scope.Gives(Activate(graph, y, options.activation));
}

Value LayerNorm(Graph& graph, Value x, const LayerNormOptions& options) {
  Graph::Scope scope(graph, options.name, "layer_norm");
  if (graph.shape(x).rank() < 2) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat(graph.scope(), ": its input must have a dimension beside the batch")));
  }
  const int64_t size = graph.shape(x).back();
  const LayerParameters parameters(graph, options.frozen);
  const Value scale = parameters.Vector("weight", size, Start::kOnes);
  const Value shift =
      options.use_bias ? parameters.Vector("bias", size, Start::kZeros) : Full(graph, {size}, 0);
  return scope.Gives(engine::LayerNorm(graph, x, scale, shift, options.epsilon));
}

Value RmsNorm(Graph& graph, Value x, const RmsNormOptions& options) {
  Graph::Scope scope(graph, options.name, "rms_norm");
  if (graph.shape(x).rank() < 2) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat(graph.scope(), ": its input must have a dimension beside the batch")));
  }
  const Value scale =
      LayerParameters(graph, options.frozen).Vector("weight", graph.shape(x).back(), Start::kOnes);
  return scope.Gives(engine::RmsNorm(graph, x, scale, options.epsilon));
}

Value Dropout(Graph& graph, Value x, const DropoutOptions& options, bool training) {
  Graph::Scope scope(graph, options.name, "dropout");
  if (!(options.rate >= 0 && options.rate < 1)) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat(graph.scope(), ": rate must be at least 0 and below 1, got ", options.rate)));
  }
  return scope.Gives(training ? engine::Dropout(graph, x, options.rate) : x);
}

}  // namespace hone::engine::layers
