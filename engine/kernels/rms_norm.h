#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

// On rows [begin, end) of matrices with n columns. `dtype` is f32 or bf16, for all arrays that are
// void*; arithmetic is in f32.
namespace hone::engine::kernels {

// y = x · rstd · scale of each row, with rstd = 1 / sqrt(mean of x² + epsilon).
void RmsNorm(DType dtype, const void* x, const float* scale, int64_t n, float epsilon, void* y,
             float* rstd, int64_t begin, int64_t end);

// With x̂ = x · rstd and g = dy · scale:
//   dx = rstd · (g − x̂ · mean of g · x̂)
//   dscale += Σ dy · x̂ over these rows: each thread has its own.
struct RmsNormGradientArrays {
  const void* x;
  const void* dy;
  const float* scale;
  const float* rstd;
  void* dx;
  float* dscale;
};
void RmsNormGradient(DType dtype, const RmsNormGradientArrays& arrays, int64_t n, int64_t begin,
                     int64_t end);

}  // namespace hone::engine::kernels
