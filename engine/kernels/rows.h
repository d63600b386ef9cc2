#pragma once

#include <cstdint>

namespace hone::engine::kernels {

// Rows of `width` floats that lie apart in a table, brought together and back. Of narrow rows a
// call for each would cost more than its copy.

// to[i] = from[rows[i]] for i in [begin, end).
void GatherRows(const float* from, const int32_t* rows, int64_t width, float* to, int64_t begin,
                int64_t end);
// to[rows[i]] = from[i] for i in [begin, end).
void ScatterRows(const float* from, const int32_t* rows, int64_t width, float* to, int64_t begin,
                 int64_t end);

}  // namespace hone::engine::kernels
