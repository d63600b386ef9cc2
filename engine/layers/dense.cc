#include "engine/layers/dense.h"

#include "absl/strings/str_cat.h"
#include "engine/layers/parameters.h"
#include "engine/ops/linear.h"

namespace hone::engine::layers {

Value Dense(Graph& graph, Value x, const DenseOptions& options) {
  Graph::Scope scope(graph, options.name, "dense");
  if (options.units <= 0) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat(graph.scope(), ": units must be at least 1, got ", options.units)));
  }
  if (graph.shape(x).rank() < 2) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat(graph.scope(), ": its input must have a dimension beside the batch, got ",
                     graph.shape(x).ToString())));
  }
  const int64_t in = graph.shape(x).back();
  const LayerParameters parameters(graph, options.frozen);
  const Value weight =
      parameters.ProductWeight(in, options.units, options.transposed, options.initializer);
  const std::optional<Value> bias = parameters.Bias(options.use_bias, options.units);
  const Value y = Linear(graph, x, weight, bias, {.transposed = options.transposed});
  return scope.Gives(Activate(graph, y, options.activation));
}

}  // namespace hone::engine::layers
