#pragma once

#include <optional>

#include "engine/graph/graph.h"

namespace hone::engine {

struct ConvGeometry {
  int64_t stride = 1;
  int64_t dilation = 1;
  int64_t groups = 1;
  // Rows and columns of zeros around the picture: before and after, for height and width.
  int64_t padding_before[2] = {0, 0};
  int64_t padding_after[2] = {0, 0};
};

// y[n, oc, oh, ow] = Σ x[n, ic, …] · w[oc, ic / groups, kh, kw] + b[oc]: a cross-correlation, as
// everywhere in the field. oh = (h + padding − dilation · (kh − 1) − 1) / stride + 1, rounded down.
Value Conv2d(Graph& graph, Value x, Value weight, std::optional<Value> bias,
             const ConvGeometry& geometry);

}  // namespace hone::engine
