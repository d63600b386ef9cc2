#include "engine/layers/normalization.h"

#include "absl/strings/str_cat.h"
#include "engine/layers/parameters.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/dropout.h"
#include "engine/ops/layer_norm.h"

namespace hone::engine::layers {

using Start = Initializer::Kind;

Value BatchNorm(Graph& graph, Value x, const BatchNormOptions& options, bool training) {
  graph.set_scope(options.name);
  const Shape& shape = graph.shape(x);
  if (shape.rank() != 2 && shape.rank() != 4) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat(options.name,
                     ": its input must be [features] or [channels, height, width] for one example, "
                     "got a batch of ",
                     shape.ToString())));
  }
  const int64_t channels = shape[1];
  const LayerParameters parameters(graph, options.name, options.frozen);
  const Value scale = parameters.Vector("weight", channels, Start::kOnes);
  const Value shift = parameters.Vector("bias", channels, Start::kZeros);
  const Value mean = parameters.BufferVector("running_mean", channels, Start::kZeros);
  const Value variance = parameters.BufferVector("running_variance", channels, Start::kOnes);
  const engine::BatchNormOptions op{.epsilon = options.epsilon, .momentum = options.momentum};
  const Value y = training && !options.frozen
                      ? BatchNormOfBatch(graph, x, scale, shift, mean, variance, op)
                      : BatchNormWith(graph, x, scale, shift, mean, variance, op);
  return Activate(graph, y, options.activation);
}

Value LayerNorm(Graph& graph, Value x, const LayerNormOptions& options) {
  graph.set_scope(options.name);
  if (graph.shape(x).rank() < 2) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat(options.name, ": its input must have a dimension beside the batch")));
  }
  const int64_t size = graph.shape(x).back();
  const LayerParameters parameters(graph, options.name, options.frozen);
  const Value scale = parameters.Vector("weight", size, Start::kOnes);
  const Value shift = parameters.Vector("bias", size, Start::kZeros);
  return engine::LayerNorm(graph, x, scale, shift, options.epsilon);
}

Value Dropout(Graph& graph, Value x, const DropoutOptions& options, bool training) {
  graph.set_scope(options.name);
  if (!(options.rate >= 0 && options.rate < 1)) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat(options.name, ": rate must be at least 0 and below 1, got ", options.rate)));
  }
  return training ? engine::Dropout(graph, x, options.rate) : x;
}

}  // namespace hone::engine::layers
