#pragma once

#include <cstdint>
#include <span>

// The inner loops of optimizers: flat f32 arrays, vectorised for the CPU that runs them, one thread
// each. Every pointer is aligned to 64 bytes and every count is a multiple of 16 floats, as the
// parameter slabs have it. No call allocates.
namespace hone::engine::kernels {

// out[i] = scale · (shards[0][first + i] + shards[1][first + i] + …), cut to ± clip where clip > 0;
// NaN stays NaN. The order of the sum is that of the shards.
void SumGradients(std::span<const float* const> shards, int64_t first, int64_t count, float scale,
                  float clip, float* out);

// The sum of x², good from the smallest to the largest float. NaN or infinite if an element is;
// finite otherwise.
double SumOfSquares(const float* x, int64_t count);

// sum[i] += x[i]
void Accumulate(const float* x, float* sum, int64_t count);

// Rates and factors of one update, the schedule and the range's multiplier already in them.
// Formulas: engine/optim/options.h.
struct SgdUpdate {
  float learning_rate = 0;
  float momentum = 0;
  bool nesterov = false;
  float l2 = 0;
};
// `velocity` may be null if momentum is 0.
void Update(const SgdUpdate& update, const float* gradient, float* value, float* velocity,
            int64_t count);

struct AdamUpdate {
  float rate = 0;  // learning rate · sqrt(1 − beta2^t) / (1 − beta1^t)
  float one_minus_beta1 = 0;
  float one_minus_beta2 = 0;
  float epsilon = 0;
  float l2 = 0;    // joins the gradient
  float keep = 1;  // multiplies the value first: 1 − learning rate · decoupled decay
};
void Update(const AdamUpdate& update, const float* gradient, float* value, float* m, float* v,
            int64_t count);

struct RmsPropUpdate {
  float learning_rate = 0;
  float one_minus_decay = 0;
  float epsilon = 0;
  float momentum = 0;
  float l2 = 0;
};
// `velocity` is null if momentum is 0, `mean` is null if not centered.
void Update(const RmsPropUpdate& update, const float* gradient, float* value, float* square,
            float* velocity, float* mean, int64_t count);

}  // namespace hone::engine::kernels
