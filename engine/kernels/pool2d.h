#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {

// Pooling over pictures whose channels lie side by side, as blocked and channels-last layouts have
// them:
//   x            [planes, height, width, lanes]
//   y and where  [planes, out_height, out_width, lanes]
// A plane is a picture, or a block of its channels; lanes are a multiple of 8, and windows have at
// most 256 elements, so that a byte says which of them is the largest. Window (r, c) starts at row
// r · stride − padding_top and column c · stride − padding_left; what lies outside the picture does
// not count.
struct Pool2d {
  int64_t planes, height, width, lanes;
  int64_t out_height, out_width;
  int64_t kernel_height, kernel_width;
  int64_t stride;
  int64_t padding_top, padding_left;
};

// All on planes [begin, end), with arrays of `dtype` (f32 or bf16), sums in f32. `where` is the
// largest element's number in its window, row · kernel_width + column, the first of equals; it may
// be null. Of a window that holds a NaN the largest is a NaN. Gradients write all of dx.
void MaxPool(const Pool2d& pool, DType dtype, const void* x, void* y, uint8_t* where, int64_t begin,
             int64_t end);
void MaxPoolGradient(const Pool2d& pool, DType dtype, const void* dy, const uint8_t* where,
                     void* dx, int64_t begin, int64_t end);

// The mean of the elements inside the picture.
void AveragePool(const Pool2d& pool, DType dtype, const void* x, void* y, int64_t begin,
                 int64_t end);
void AveragePoolGradient(const Pool2d& pool, DType dtype, const void* dy, void* dx, int64_t begin,
                         int64_t end);

}  // namespace hone::engine::kernels
