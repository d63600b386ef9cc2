#pragma once

#include "engine/graph/graph.h"

namespace hone::engine {

struct MatMulOptions {
  bool transpose_a = false;  // a is […, k, m]
  bool transpose_b = false;  // b is […, n, k]
};

// y[…, m, n] = a[…, m, k] · b[…, k, n]. The dimensions in front are equal.
Value MatMul(Graph& graph, Value a, Value b, const MatMulOptions& options = {});

}  // namespace hone::engine
