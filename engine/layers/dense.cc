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
      parameters.Weight({in, options.units}, options.initializer,
                        {static_cast<double>(in), static_cast<double>(options.units)});
  const std::optional<Value> bias = parameters.Bias(options.use_bias, options.units);
  return scope.Gives(Activate(graph, Linear(graph, x, weight, bias), options.activation));
}

}  // namespace hone::engine::layers
