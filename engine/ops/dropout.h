#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// Where a tensor's examples are: along dimension `axis`, `per_example` indices of it for each, as
// [batch · heads, …] has heads of them; [time, batch, …] has them along axis 1.
struct ExampleLayout {
  int axis = 0;
  int64_t per_example = 1;
};

// y = 0 with probability `rate`, else x / (1 − rate) (Srivastava et al., 2014). What is kept
// follows from the run's seed and step, the layer (the graph's scope, and which dropout of that
// scope it is), the example's place in the whole batch and the element's place in the example: not
// from threads, shards or attempts, if `layout` says where the examples are. Token rows count as
// examples, and a shard counts its own from 0, with a seed of its own (plan/replicas.h). A rate of
// 0 adds no node.
Value Dropout(Graph& graph, Value x, float rate, const ExampleLayout& layout = {});

}  // namespace hone::engine
