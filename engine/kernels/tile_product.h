#pragma once

#include <cstddef>

#include "engine/kernels/pair_product.h"

// The part of pair_product.h that needs AMX.
namespace hone::engine::kernels {

// Gives this thread's tiles the shape that MultiplyByTiles needs, and keeps the one that they had.
void BeginTiles(std::byte (&before)[64]);
void EndTiles(const std::byte (&before)[64]);

// PairMultiplier::Multiply between the two.
void MultiplyByTiles(const PairProduct& product, const uint32_t* a, const uint32_t* b, float* c);

}  // namespace hone::engine::kernels
