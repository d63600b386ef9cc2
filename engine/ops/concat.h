#pragma once

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

}  // namespace hone::engine
