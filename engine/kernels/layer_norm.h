#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

// On rows [begin, end) of matrices with n columns. `dtype` is f32 or bf16, for all arrays that are
// void*; arithmetic is in f32.
namespace hone::engine::kernels {

// y = (x − mean) · rstd · scale + shift of each row, with the row's mean and rstd =
// 1 / sqrt(variance + epsilon), the variance divided by n.
void LayerNorm(DType dtype, const void* x, const float* scale, const float* shift, int64_t n,
               float epsilon, void* y, float* mean, float* rstd, int64_t begin, int64_t end);

// With x̂ = (x − mean) · rstd and g = dy · scale:
//   dx = rstd · (g − mean of g − x̂ · mean of g · x̂); may be dy's memory
//   dscale += Σ dy · x̂;  dshift += Σ dy over these rows: each thread has its own.
struct LayerNormGradientArrays {
  const void* x;
  const void* dy;
  const float* scale;
  const float* mean;
  const float* rstd;
  void* dx;
  float* dscale;
  float* dshift;
};
void LayerNormGradient(DType dtype, const LayerNormGradientArrays& arrays, int64_t n, int64_t begin,
                       int64_t end);

}  // namespace hone::engine::kernels
