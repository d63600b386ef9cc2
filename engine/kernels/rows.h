#pragma once

#include <cstdint>
#include <span>

#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {

// Rows of `width` floats that lie apart in a table, brought together and back. Of narrow rows a
// call for each would cost more than its copy.

// to[i] = from[rows[i]] for i in [begin, end).
void GatherRows(const float* from, const int32_t* rows, int64_t width, float* to, int64_t begin,
                int64_t end);
// The same where one of the arrays is bf16, or both are.
void GatherRowsAs(DType from_type, const void* from, const int32_t* rows, int64_t width,
                  DType to_type, void* to, int64_t begin, int64_t end);
// to[rows[i]] = from[i] for i in [begin, end).
void ScatterRows(const float* from, const int32_t* rows, int64_t width, float* to, int64_t begin,
                 int64_t end);

// sums[rows[i]] += x[i] for i in [0, count), in this order, where rows[i] is in [begin, end). x is
// f32 or bf16, as `dtype` says.
void AddToRows(DType dtype, const void* x, const int32_t* rows, int64_t count, int64_t width,
               float* sums, int64_t begin, int64_t end);

// to[i] = Σ parts[p][places[i, p]] over the p parts, in their order, for i in [begin, end). A place
// of −1 counts as `zeros`, a row of zeros.
void SumParts(std::span<const float* const> parts, const int32_t* places, const float* zeros,
              int64_t width, float* to, int64_t begin, int64_t end);

}  // namespace hone::engine::kernels
