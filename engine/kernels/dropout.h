#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {

// Elements [begin, end) of y[i] = 0 with probability `rate`, else x[i] / (1 − rate). The choice for
// element i depends on key and first + i only, so any split over threads, and the gradient, see the
// same mask. dtype f32 or bf16; y may be x.
void Dropout(DType dtype, float rate, uint64_t key, uint64_t first, const void* x, void* y,
             int64_t begin, int64_t end);
// The same choice for one element, index = first + i: true if it is kept.
bool DropoutKeeps(float rate, uint64_t key, uint64_t index);

}  // namespace hone::engine::kernels
