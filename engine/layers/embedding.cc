#include "engine/layers/embedding.h"

#include "absl/strings/str_cat.h"
#include "engine/ops/embedding.h"

namespace hone::engine::layers {

Value Embedding(Graph& graph, Value index, const EmbeddingOptions& options) {
  Graph::Scope scope(graph, options.name, "embedding");
  for (const auto& [field, value] :
       {std::pair{"width", options.width}, std::pair{"rows", options.rows}}) {
    if (value < 1) {
      return graph.Fail(absl::InvalidArgumentError(
          absl::StrCat(graph.scope(), ": ", field, " must be at least 1, got ", value)));
    }
  }
  if (graph.type(index).dtype != DType::kS32) {
    return graph.Fail(absl::InvalidArgumentError(absl::StrCat(
        graph.scope(), ": its input must be whole numbers that name rows of its table, got ",
        graph.type(index).ToString())));
  }
  const Value table =
      graph.Parameter({.name = absl::StrCat(graph.scope(), ".weight"),
                       .shape = {options.rows, options.width},
                       .initializer = {.kind = options.initializer.kind,
                                       .stddev = options.initializer.stddev,
                                       .fan_in = static_cast<double>(options.rows),
                                       .fan_out = static_cast<double>(options.width)},
                       .role = options.frozen ? ParameterRole::kFrozen : ParameterRole::kTrainable,
                       .decays = true,
                       .sparse = true});
  return scope.Gives(engine::Embedding(graph, table, index));
}

}  // namespace hone::engine::layers
