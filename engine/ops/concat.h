#pragma once

#include <optional>
#include <span>
#include <vector>

#include "engine/graph/graph.h"

namespace hone::engine {

// Joins along dimension `axis`; all other extents are equal. f32, or all s32.
Value Concat(Graph& graph, const std::vector<Value>& parts, int axis = 1);

// Indices [begin, end) of dimension `axis`. f32 or s32. It lies in x: products read it there.
Value Slice(Graph& graph, Value x, int64_t begin, int64_t end, int axis = 1);

// For the plan: the op that writes the gradients of two slices, or of more, into one tensor. Null
// if these are not the ops of such gradients, or the slices overlap.
std::shared_ptr<const Op> JoinedGradientsOfSlices(const Op& a, const Op& b);

// For the plan: where input i of an op that joins parts (a concatenation, or the gradient of
// slices) goes in its output; none for other ops.
struct PartPlace {
  int axis = 0;
  int64_t begin = 0;  // along the axis
};
std::optional<PartPlace> PartOf(const Op& op, std::span<const TensorType> inputs, int i);

}  // namespace hone::engine
