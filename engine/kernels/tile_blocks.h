#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {

// The weights of a dense layer in bf16, in the order in which AMX's tiles read them
// (onednn::MemoryDesc::TileBlocks): blocks of 64 outputs by 32 inputs, the blocks of the same
// outputs one after another. In a block, pairs of inputs, 64 words each: the word of an output
// holds its weights of the two inputs. Outputs and inputs up to whole blocks are zero.
struct TileBlocks {
  static constexpr int64_t kOutputs = 64, kInputs = 32;  // of a block

  DType from = DType::kF32;  // or kBf16: what the weight is
  int64_t inputs = 0;
  int64_t outputs = 0;
  bool transposed = false;  // the weight is [outputs, inputs] row major, else [inputs, outputs]

  // Blocks side by side.
  int64_t rows() const { return (outputs + kOutputs - 1) / kOutputs; }
};

// The blocks [begin, end) of outputs; f32 is rounded to nearest even. Needs AVX512-BF16.
void Pack(const TileBlocks& blocks, const void* weight, uint32_t* to, int64_t begin, int64_t end);

}  // namespace hone::engine::kernels
