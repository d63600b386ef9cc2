#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {

// Pictures of which each place becomes a square of factor x factor places:
//   x [planes, height, width, lanes], y [planes, height · factor, width · factor, lanes]
// A plane is a picture, a channel of one, or a block of its channels, as layouts have them.
struct Upsample2d {
  int64_t planes, height, width, lanes;
  int64_t factor;
};

// Both on planes [begin, end), with arrays of `dtype` (f32 or bf16).
void Upsample(const Upsample2d& what, DType dtype, const void* x, void* y, int64_t begin,
              int64_t end);
// dx = the sum over each square of dy, in f32.
void UpsampleGradient(const Upsample2d& what, DType dtype, const void* dy, void* dx, int64_t begin,
                      int64_t end);

}  // namespace hone::engine::kernels
