#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// Normal random numbers of mean 0 and this deviation, [batch, …]: other ones in every run. They are
// keyed by the run's seed and step, the scope, and the example's place in the whole batch, so that
// parts of a batch get the numbers of the whole. Several in one scope are different.
Value RandomNormal(Graph& graph, const Shape& shape, float stddev = 1);

}  // namespace hone::engine
