#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

// y[…, 1] = Σ a[…, j] · b[…, j]: the scalar product of the rows of two tensors of one shape, f32.
Value RowDot(Graph& graph, Value a, Value b);

}  // namespace hone::engine
