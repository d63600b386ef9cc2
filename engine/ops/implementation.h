#pragma once

#include <cstdint>

#include "engine/base/cpu.h"
#include "engine/kernels/pair_product.h"
#include "engine/tensor/tensor.h"

// Who computes an op: a rule on instruction set, element type and shape, never a clock, so that the
// same job on the same kind of processor runs the same code. kernels/README.md has the table and
// the measurements behind it; each function here is one of its rows.
namespace hone::engine {

enum class Implementation { kOneDnn, kOurs };

// A convolution's gradient of its weights.
Implementation ConvWeightGradientBy(InstructionSet set, DType compute, int64_t in_channels,
                                    int64_t out_channels, int64_t groups);

// The element type in which a convolution's products are taken, forward and backward, where the
// program computes in `compute`: f32, or `compute` itself.
DType ConvProductType(InstructionSet set, DType compute, int64_t in_channels);

// A dense layer's products, forward and backward, of so many rows by weights of [in, out].
Implementation LinearBy(InstructionSet set, DType compute, int64_t rows, int64_t in, int64_t out);

// Whether a dense layer, forward, has so few rows that ours reads its weights as they lie, in the
// element type that they are kept in. Of small weights in f32 LinearBy is asked.
bool ReadsWeightsOnce(InstructionSet set, DType compute, DType kept, int64_t rows, int64_t in,
                      int64_t out);

// How oneDNN is asked for a dense layer's gradients, which it does not compute as fast either way:
// as an inner product's gradient, or as a product like any other, of the weight with a transposed
// source, of the data with the weight seen transposed.
enum class LinearGradient { kInnerProduct, kProduct };
LinearGradient LinearGradientBy(InstructionSet set, DType compute);

// Whether oneDNN's products of matrices are right with so many columns. oneDNN 2.6.3 gives wrong
// numbers by tiles, and others in each run, where two threads share a product of few rows and 49 to
// 63 columns: both write the same ones. Taken for unsound are all columns that are not whole
// vectors.
bool MatMulIsSound(InstructionSet set, DType compute, int64_t columns);

// Whether a dense layer of so many rows and weights gains from weights in blocks even where they
// are kept in the product's type, and have to be brought into memory for them each time.
bool WantsBlocksOfWeights(InstructionSet set, DType compute, int64_t rows, int64_t weights);

// How many of a dense layer's rows are in whole blocks; the others are a product of their own.
int64_t LinearRowsInBlocks(InstructionSet set, DType compute, int64_t rows);

// By what our kernels over sequences, which read and leave arrays of `dtype`, multiply bfloat16
// numbers in pairs (kernels/pair_product.h). A row of `inner` numbers, along which they are summed,
// must be whole pairs, for tiles whole rows of them. Else they convert to f32 what they read.
kernels::PairProducts PairProductsBy(InstructionSet set, DType dtype, int64_t inner);

// Pooling, forward and gradient, of a picture with so many channels side by side in memory and
// windows of so many elements. `side_by_side`: windows touch, do not overlap and are not padded.
// `onednn_has_code`: its implementation for this layout is not its reference, which is hundreds of
// times slower.
Implementation PoolBy(DType dtype, int64_t lanes, int64_t window, bool side_by_side,
                      bool onednn_has_code);

}  // namespace hone::engine
