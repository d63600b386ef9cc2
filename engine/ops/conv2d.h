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

// What Conv2d's gradient with respect to its input is, forwards (a "deconvolution"):
// y[n, oc, …] = Σ x[n, ic, …] · w[ic, oc / groups, kh, kw] + b[oc], where each place of x is spread
// over a window of y and windows that overlap add up. The geometry is that of the convolution that
// leads back from y to x: padding is cut off, and
//   oh = (h − 1) · stride + dilation · (kh − 1) + 1 − padding + output_padding,
// the last below the stride: of the sizes from which the convolution leads back to h, it says
// which.
Value Conv2dTranspose(Graph& graph, Value x, Value weight, std::optional<Value> bias,
                      const ConvGeometry& geometry, const int64_t (&output_padding)[2]);

}  // namespace hone::engine
