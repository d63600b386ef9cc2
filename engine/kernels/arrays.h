#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

// Arithmetic on elements [begin, end) of flat arrays. `dtype` is f32 or bf16, of all arrays that
// are void*; arithmetic is in f32. Arrays may be the same.
namespace hone::engine::kernels {

// y = a + b
void AddArrays(DType dtype, const void* a, const void* b, void* y, int64_t begin, int64_t end);

// y = a · b
void MultiplyArrays(DType dtype, const void* a, const void* b, void* y, int64_t begin, int64_t end);

// y = x + shift
void ShiftArray(DType dtype, float shift, const void* x, void* y, int64_t begin, int64_t end);

// y = factor · x
void ScaleArray(DType dtype, float factor, const void* x, void* y, int64_t begin, int64_t end);

// Whether one of x is NaN.
bool HasNan(DType dtype, const void* x, int64_t begin, int64_t end);

// Σ x, in double.
double SumArray(const float* x, int64_t begin, int64_t end);

}  // namespace hone::engine::kernels
