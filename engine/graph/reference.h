#pragma once

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/graph/graph.h"

namespace hone::engine {

// Runs a graph with the ops' plain loops, in double: the truth that programs are held against.
// Slow. `source` gives the tensor of every input and parameter node that is needed. Returns the
// values of `fetch` in their order.
absl::StatusOr<std::vector<DoubleTensor>> Interpret(
    const Graph& graph, const std::vector<Value>& fetch,
    const std::function<DoubleTensor(const Graph::Node&)>& source, const RunScalars& scalars = {});

}  // namespace hone::engine
