#include "engine/plan/roots.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/row_sums.h"

namespace hone::engine {

absl::StatusOr<Roots> RootsOf(const ProgramRequest& request, ParameterStore& store, int shard) {
  if (!request.gradients.empty() && shard >= store.shards()) {
    return absl::InternalError(
        absl::StrCat("shard ", shard, " has no gradient slab: the store has ", store.shards()));
  }
  Roots roots;
  roots.fetch = request.fetch;
  for (const auto& [value, id] : request.gradients) {
    if (!value.valid()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the loss does not depend on parameter ", store.spec(id).name));
    }
    const bool rows = IsRowSums(*request.graph, value);
    if (rows != store.gives_rows(id)) {
      return absl::InternalError(
          absl::StrCat("the gradient of ", store.spec(id).name,
                       rows ? " comes as rows, the store has a slab for it"
                            : " does not come as rows, and the store has no slab"));
    }
    if (rows) {
      roots.row_gradients.push_back({value, RowsOf(*request.graph, value), id});
    } else {
      roots.gradients.push_back({value, id});
    }
  }
  if (request.update_buffers) {
    for (const auto& [buffer, value] : request.graph->updates()) {
      HONE_ASSIGN_OR_RETURN(const ParameterId id,
                            store.Find(request.graph->node(buffer.node).parameter.name));
      roots.updates.push_back({id, store.mutable_values(id).data, value, buffer});
    }
  }
  for (const auto& [input, value] : request.carries) {
    roots.updates.push_back(
        {-1, const_cast<Graph::Node*>(&request.graph->node(input.node)), value, input});
  }
  return roots;
}

}  // namespace hone::engine
