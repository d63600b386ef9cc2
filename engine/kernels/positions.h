#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

// What tokens know of their places, for rows [begin, end).
namespace hone::engine::kernels {

// The angles of place p are p · base^(−2i / dim), for i in [0, dim / 2).
//
// y[row] of `width` numbers: sine and cosine of angle i side by side (Vaswani et al., 2017, base
// 10,000); of an odd width the last sine alone. y is f32 or bf16, as `dtype` says.
void Sinusoids(DType dtype, const int32_t* places, int64_t width, float base, void* y,
               int64_t begin, int64_t end);

// Heads of `dim` numbers, an even count, each rotated (Su et al., 2021): numbers i and i + dim / 2
// are a point that is turned by angle i, or back by it. x and y are f32 or bf16, as `dtype` says; y
// may be x.
struct Rotation {
  int64_t heads;
  int64_t dim;
  float base;
  bool back;
  // Instead of the base: angle i of place p is p · frequencies[i], for i in [0, dim / 2).
  const float* frequencies = nullptr;
};
void Rotate(DType dtype, const Rotation& rotation, const int32_t* places, const void* x, void* y,
            int64_t begin, int64_t end);

}  // namespace hone::engine::kernels
