#pragma once

#include <cstdint>

// On rows [begin, end) of matrices of f32 with n columns.
namespace hone::engine::kernels {

// Probabilities from logits; may be the same memory.
void Softmax(const float* logits, int64_t n, float* probabilities, int64_t begin, int64_t end);

// dx = y · (dy − Σ dy · y) of each row; dx may be dy's memory.
void SoftmaxGradient(const float* y, const float* dy, int64_t n, float* dx, int64_t begin,
                     int64_t end);

}  // namespace hone::engine::kernels
