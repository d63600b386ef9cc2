#pragma once

#include <cstdint>

namespace hone::engine::kernels {

// y[i] = Σ a[i, j] · b[i, j] over j < width, for the rows [begin, end). The order of the sum
// depends on the width and the instruction set alone.
void RowDots(const float* a, const float* b, int64_t width, float* y, int64_t begin, int64_t end);

// y[i, j] = factors[i] · x[i, j] for the rows [begin, end).
void ScaleRows(const float* factors, const float* x, int64_t width, float* y, int64_t begin,
               int64_t end);

}  // namespace hone::engine::kernels
