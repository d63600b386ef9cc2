#pragma once

#include <optional>
#include <vector>

#include "engine/graph/graph.h"

namespace hone::engine {

// The same elements, row major, with other extents.
Value Reshape(Graph& graph, Value x, const Shape& shape);

// For the plan: the op is a reshape; and the strides with which the memory of a tensor `from` is
// seen in the shape `to`, none where the elements would have to be moved.
bool IsReshape(const Op& op);
std::optional<std::vector<int64_t>> ReshapedStrides(const Shape& from,
                                                    const std::vector<int64_t>& strides,
                                                    const Shape& to);

// [batch, …] → [batch, everything else]
Value Flatten(Graph& graph, Value x);

}  // namespace hone::engine
