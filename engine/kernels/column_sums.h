#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {

// y[n] = Σ x[r, n] over all rows, for the columns [begin, end); x is f32 or bf16, sums are f32. A
// column's sum goes over the rows in their order, whatever the share is.
void SumColumns(DType dtype, const void* x, int64_t rows, int64_t columns, float* y, int64_t begin,
                int64_t end);

}  // namespace hone::engine::kernels
