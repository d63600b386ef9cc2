#pragma once

#include <cstdint>

namespace hone::engine::kernels {

// Elements first + [0, count) of the standard normal numbers that `key` stands for, times `factor`,
// into y: by Box and Muller (1958), two from each pair of a Philox block's words. An element's bits
// depend on the key and its number alone.
void RandomNormal(uint64_t key, float factor, uint64_t first, int64_t count, float* y);

// One of them in double, of the same random bits: what the vectors are compared with.
double NormalAt(uint64_t key, uint64_t index);

}  // namespace hone::engine::kernels
