#include "engine/layers/dense.h"

#include "absl/strings/str_cat.h"
#include "engine/layers/product.h"

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
  const Value y = Product(graph, x,
                          {.units = options.units,
                           .use_bias = options.use_bias,
                           .initializer = options.initializer,
                           .transposed = options.transposed,
                           .frozen = options.frozen});
  return scope.Gives(Activate(graph, y, options.activation));
}

}  // namespace hone::engine::layers
