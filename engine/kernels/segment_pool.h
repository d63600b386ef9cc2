#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

// Rows of `width` numbers pooled by sequence: sequence i is rows [offsets[i], offsets[i + 1]). On
// sequences [begin, end). Arrays that are void* are f32 or bf16 as `dtype` says; arithmetic is in
// f32.
namespace hone::engine::kernels {

// y[i] = mean of the rows, zeros of no rows.
void SegmentMean(DType dtype, const void* x, const int32_t* offsets, int64_t width, void* y,
                 int64_t begin, int64_t end);
// dx of each row = dy[i] / number of rows.
void SegmentMeanGradient(DType dtype, const void* dy, const int32_t* offsets, int64_t width,
                         void* dx, int64_t begin, int64_t end);

// y[i] = largest of the rows, number by number, a NaN if one is; row[i] = the first that has it.
// Zeros and −1 of no rows.
void SegmentMax(DType dtype, const void* x, const int32_t* offsets, int64_t width, void* y,
                int32_t* row, int64_t begin, int64_t end);

}  // namespace hone::engine::kernels
