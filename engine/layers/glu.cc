#include "engine/layers/glu.h"

#include "absl/strings/str_cat.h"
#include "engine/layers/activation.h"
#include "engine/layers/product.h"
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
  const auto product = [&](absl::string_view name, int64_t units) -> ProductOptions {
    return {.name = std::string(name),
            .units = units,
            .use_bias = options.use_bias,
            .initializer = options.initializer,
            .transposed = options.transposed,
            .frozen = options.frozen};
  };
  const std::vector<Value> both =
      Products(graph, x, {product("gate", options.units), product("up", options.units)});
  const Value gate = Activate(graph, both[0], options.activation);
  return scope.Gives(
      Product(graph, Mul(graph, gate, both[1]), product("down", graph.shape(x).back())));
}

}  // namespace hone::engine::layers
