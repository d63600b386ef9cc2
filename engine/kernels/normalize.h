#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {

// y[i] = (x[i] − mean) · factor for bytes [begin, end); dtype f32 or bf16, of y.
void NormalizeBytes(const uint8_t* x, float mean, float factor, DType dtype, void* y, int64_t begin,
                    int64_t end);

}  // namespace hone::engine::kernels
