#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {

// A dense layer of a few rows, as when a token is written: what takes the time is to read the
// weights, once, as they lie, f32 or bf16. Sums are in f32, in an order that depends on `inner` and
// `transposed` alone: a row has the same bits in whatever batch and share. A NaN reaches all sums
// that it is part of.

// y(r, n) = bias[n] + Σ over k of x(r, k) · w(k, n), max(·, 0) with `relu` (a NaN stays one). x and
// y are row major f32; w is [inner, columns] row major, with `transposed` [columns, inner].
struct FewRows {
  int64_t rows = 0;
  int64_t inner = 0;
  int64_t columns = 0;
  DType weights = DType::kF32;  // or kBf16
  bool transposed = false;
  bool relu = false;
};

// The columns [begin, end); `bias` may be null.
void MultiplyFewRows(const FewRows& product, const float* x, const void* w, const float* bias,
                     float* y, int64_t begin, int64_t end);

}  // namespace hone::engine::kernels
