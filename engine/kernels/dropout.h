#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {

// So many elements share a block of random bits, 16 for each: an element is dropped when its number
// below 65536 is less than rate · 65536, rounded.
constexpr int64_t kDropoutBlock = 8;

// Elements [begin, end) of y[i] = 0 with probability `rate`, else x[i] / (1 − rate). The choice for
// element i depends on key and first + i only, so any split over threads, and the gradient, see the
// same mask. Fastest where first + begin is a multiple of kDropoutBlock. dtype f32 or bf16; y may
// be x.
void Dropout(DType dtype, float rate, uint64_t key, uint64_t first, const void* x, void* y,
             int64_t begin, int64_t end);
// The same choice for one element, index = first + i: true if it is kept.
bool DropoutKeeps(float rate, uint64_t key, uint64_t index);

}  // namespace hone::engine::kernels
