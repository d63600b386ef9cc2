#pragma once

#include <optional>

#include "engine/graph/graph.h"

namespace hone::engine {

// y[…, out] = x[…, in] · w[in, out] + b[out]. All dimensions of x but the last are rows.
Value Linear(Graph& graph, Value x, Value weight, std::optional<Value> bias);

}  // namespace hone::engine
