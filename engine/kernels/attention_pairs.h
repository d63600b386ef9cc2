#pragma once

#include "engine/kernels/attention.h"

// Attention whose products are dot products of pairs of bf16 numbers (pair_product.h): what
// attention.h calls where AttentionArrays::pairs is set. A head has an even count of numbers.
namespace hone::engine::kernels {

void AttendInPairs(const Attention& a, const AttentionPart& part, const AttentionArrays& arrays,
                   uint16_t* y, float* log_sums, float* scratch);

void AttendGradientInPairs(const Attention& a, const AttentionPart& part,
                           const AttentionArrays& arrays, const AttentionGradientArrays& gradient,
                           float* scratch);

}  // namespace hone::engine::kernels
