#include "engine/layers/glu.h"

#include "absl/strings/str_cat.h"
#include "engine/layers/activation.h"
#include "engine/layers/parameters.h"
#include "engine/ops/linear.h"
#include "engine/ops/mul.h"

namespace hone::engine::layers {

Value Glu(Graph& graph, Value x, const GluOptions& options) {
  Graph::Scope scope(graph, options.name, "glu");
  if (options.units <= 0) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat(graph.scope(), ": units must be at least 1, got ", options.units)));
  }
  if (graph.shape(x).rank() < 2) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat(graph.scope(), ": its input must have a dimension beside the batch, got ",
                     graph.shape(x).ToString())));
  }
  const auto product = [&](absl::string_view name, Value from, int64_t units) {
    const Graph::Scope of_product(graph, name);
    const LayerParameters parameters(graph, options.frozen);
    const Value weight = parameters.ProductWeight(graph.shape(from).back(), units,
                                                  options.transposed, options.initializer);
    return Linear(graph, from, weight, parameters.Bias(options.use_bias, units),
                  {.transposed = options.transposed});
  };
  const Value gate = Activate(graph, product("gate", x, options.units), options.activation);
  const Value up = product("up", x, options.units);
  return scope.Gives(product("down", Mul(graph, gate, up), graph.shape(x).back()));
}

}  // namespace hone::engine::layers
