#pragma once

#include <cstdint>
#include <span>

// The inner loops of optimizers: flat f32 arrays, vectorised for the CPU that runs them, one thread
// each. Every pointer is aligned to 64 bytes and every count is a multiple of 16 floats, as the
// parameter slabs have it, where nothing else is said. No call allocates.
namespace hone::engine::kernels {

// out[i] = scale · (shards[0][first + i] + shards[1][first + i] + …), cut to ± clip where clip > 0;
// NaN stays NaN. The order of the sum is that of the shards.
void SumGradients(std::span<const float* const> shards, int64_t first, int64_t count, float scale,
                  float clip, float* out);

// out[i] = scale · x[i], cut likewise; any count and alignment.
void ScaleGradient(const float* x, int64_t count, float scale, float clip, float* out);

// The sum of x², good from the smallest to the largest float. NaN or infinite if an element is;
// finite otherwise. Any alignment.
double SumOfSquares(const float* x, int64_t count);

// sum[i] += x[i]
void Accumulate(const float* x, float* sum, int64_t count);

// What an update moves of the slabs it is given: `count` rows of `width` floats, a multiple of 16.
// Row i of the gradient, the rows of which lie one behind the other, is of row rows[i] of the
// others.
struct Moved {
  const int32_t* rows = nullptr;  // null: one row, the first
  int64_t count = 1;
  int64_t width = 0;
};

// Rates and factors of one update, the schedule and the range's multiplier already in them.
// Formulas: engine/optim/options.h.
struct SgdUpdate {
  float learning_rate = 0;
  float momentum = 0;
  bool nesterov = false;
  float l2 = 0;
};
// `velocity` may be null if momentum is 0.
void Update(const SgdUpdate& update, const Moved& moved, const float* gradient, float* value,
            float* velocity);

struct AdamUpdate {
  float rate = 0;  // learning rate · sqrt(1 − beta2^t) / (1 − beta1^t)
  float one_minus_beta1 = 0;
  float one_minus_beta2 = 0;
  float epsilon = 0;
  float l2 = 0;    // joins the gradient
  float keep = 1;  // multiplies the value first: 1 − learning rate · decoupled decay
};
void Update(const AdamUpdate& update, const Moved& moved, const float* gradient, float* value,
            float* m, float* v);

struct RmsPropUpdate {
  float learning_rate = 0;
  float one_minus_decay = 0;
  float epsilon = 0;
  float momentum = 0;
  float l2 = 0;
};
// `velocity` is null if momentum is 0, `mean` is null if not centered.
void Update(const RmsPropUpdate& update, const Moved& moved, const float* gradient, float* value,
            float* square, float* velocity, float* mean);

}  // namespace hone::engine::kernels
