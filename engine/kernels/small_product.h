#pragma once

#include <cstdint>

namespace hone::engine::kernels {

// Products of f32 matrices that lie in the caches of one core, for which a library's call (its
// dispatch, its packing, its passes for a bias) costs as much as the multiplications. They need
// AVX-512; who calls has asked ops/implementation.h.
//
// Every element is Σ a(r, k) · b(k, n) over k in an order that depends on `inner` and `dots` alone:
// a row has the same bits in whatever batch and share it is computed. A NaN reaches all sums that
// it is part of.

// c(r, n) = Σ a(r, k) · b(k, n), + bias[n] where there is one, max(·, 0) with `relu` (a NaN stays
// one).
struct SmallProduct {
  int64_t rows = 0;
  int64_t inner = 0;
  int64_t columns = 0;
  int64_t a_row = 0, a_inner = 1;   // a(r, k) is at r * a_row + k * a_inner
  int64_t c_row = 0, c_column = 1;  // c(r, n) is at r * c_row + n * c_column
  // b(k, n) is at k * b_row + n, b_row being `columns` where it is 0; with `dots` at n * inner + k,
  // and a_inner must be 1.
  int64_t b_row = 0;
  bool dots = false;
  bool relu = false;
};

// Whether sums along the inner extent are faster than sums side by side: where the columns would
// leave most of a vector empty.
bool WantsDots(int64_t inner, int64_t columns);

// The rows [begin, end); `bias` may be null.
void Multiply(const SmallProduct& product, const float* a, const float* b, const float* bias,
              float* c, int64_t begin, int64_t end);
// All rows of the columns [begin, end), where rows are too few to be shared.
void MultiplyColumns(const SmallProduct& product, const float* a, const float* b, const float* bias,
                     float* c, int64_t begin, int64_t end);

// y[n] = Σ x[r, n] over all rows.
void SumRows(const float* x, int64_t rows, int64_t columns, float* y);

// y[n, r] = x[r, n].
void Transpose(const float* x, int64_t rows, int64_t columns, float* y);

}  // namespace hone::engine::kernels
