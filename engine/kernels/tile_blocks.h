#pragma once

#include <cstdint>

namespace hone::engine::kernels {

// The weights of a dense layer in bf16, rounded to nearest even, in the order in which AMX's tiles
// read them (onednn::MemoryDesc::TileBlocks): blocks of 64 outputs by 32 inputs, the blocks of the
// same outputs one after another. In a block, pairs of inputs, 64 words each: the word of an output
// holds its weights of the two inputs. Outputs and inputs up to whole blocks are zero.
//
// `weight` is [inputs, outputs] row major; with `transposed` [outputs, inputs]. Needs AVX512-BF16.
void PackTileBlocks(const float* weight, int64_t inputs, int64_t outputs, bool transposed,
                    uint32_t* to);

}  // namespace hone::engine::kernels
