#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

struct PoolGeometry {
  int64_t kernel[2] = {2, 2};  // height, width
  int64_t stride = 2;
  int64_t padding_before[2] = {0, 0};
  int64_t padding_after[2] = {0, 0};
};

// The largest value of each window; of equal ones the first gets the gradient.
Value MaxPool2d(Graph& graph, Value x, const PoolGeometry& geometry);

// The mean of each window, padding not counted.
Value AveragePool2d(Graph& graph, Value x, const PoolGeometry& geometry);

// The mean, or the largest value, of the whole picture: [n, c, h, w] → [n, c].
Value GlobalAveragePool2d(Graph& graph, Value x);
Value GlobalMaxPool2d(Graph& graph, Value x);

// For the pass that moves an activation's gradient to the smaller side of a max pool
// (plan/passes.cc): inputs of the gradient op are dy and the pool's own outputs.
bool IsMaxPoolGradient(const Op& op);

}  // namespace hone::engine
