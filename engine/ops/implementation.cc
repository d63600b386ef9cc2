#include "engine/ops/implementation.h"

namespace hone::engine {

Implementation ConvWeightGradientBy(InstructionSet set, DType compute, int64_t in_channels,
                                    int64_t out_channels, int64_t groups) {
  if (groups != 1 || in_channels % 16 != 0 || out_channels % 16 != 0) {
    return Implementation::kOneDnn;
  }
  // Ours multiplies bfloat16 with AVX512-BF16's dot products, which AMX's tiles leave far behind.
  const bool ours =
      compute == DType::kBf16 ? set == InstructionSet::kAvx512Bf16 : set >= InstructionSet::kAvx512;
  return ours ? Implementation::kOurs : Implementation::kOneDnn;
}

DType ConvProductType(InstructionSet set, DType compute, int64_t in_channels) {
  // A grey plane has no channels to fill a tile with.
  return set >= InstructionSet::kAmx && in_channels == 1 ? DType::kF32 : compute;
}

// Numbers of a weight that lies near a core: 256 KiB.
constexpr int64_t kMostWeights = int64_t{1} << 16;

Implementation LinearBy(InstructionSet set, DType compute, int64_t rows, int64_t in, int64_t out) {
  // What ours saves of oneDNN's call and packing no longer counts in a larger product.
  constexpr int64_t kMostMultiplications = int64_t{1} << 23;
  const int64_t weights = SaturatingProduct(in, out);
  const bool ours = compute == DType::kF32 && set >= InstructionSet::kAvx512 &&
                    weights <= kMostWeights &&
                    SaturatingProduct(rows, weights) <= kMostMultiplications;
  return ours ? Implementation::kOurs : Implementation::kOneDnn;
}

bool ReadsWeightsOnce(InstructionSet set, DType compute, DType kept, int64_t rows, int64_t in,
                      int64_t out) {
  constexpr int64_t kMostRows = 8;
  const bool far = kept == DType::kBf16 || SaturatingProduct(in, out) > kMostWeights;
  return compute == DType::kF32 && set >= InstructionSet::kAvx2 && rows <= kMostRows && far;
}

LinearGradient LinearGradientBy(InstructionSet set, DType compute) {
  const bool tiles = set >= InstructionSet::kAmx && compute == DType::kBf16;
  return tiles ? LinearGradient::kProduct : LinearGradient::kInnerProduct;
}

bool MatMulIsSound(InstructionSet set, DType compute, int64_t columns) {
  return set < InstructionSet::kAmx || compute != DType::kBf16 || columns % 16 == 0;
}

bool WantsBlocksOfWeights(InstructionSet set, DType compute, int64_t rows, int64_t weights) {
  constexpr int64_t kLeastRows = 128;
  constexpr int64_t kMost = int64_t{1} << 23;  // 16 MiB of memory
  return set >= InstructionSet::kAmx && compute == DType::kBf16 && rows >= kLeastRows &&
         weights <= kMost;
}

int64_t LinearRowsInBlocks(InstructionSet set, DType compute, int64_t rows) {
  constexpr int64_t kBlock = 64;
  const bool blocks = set >= InstructionSet::kAmx && compute == DType::kBf16 && rows > kBlock;
  return blocks ? rows / kBlock * kBlock : rows;
}

kernels::PairProducts PairProductsBy(InstructionSet set, DType dtype, int64_t inner) {
  using kernels::PairProducts;
  if (dtype != DType::kBf16 || set < InstructionSet::kAvx512Bf16 || inner % 2 != 0) {
    return PairProducts::kNone;
  }
  const bool whole_tiles = inner % (2 * kernels::kTilePairs) == 0;
  return set >= InstructionSet::kAmx && whole_tiles ? PairProducts::kTiles : PairProducts::kVectors;
}

Implementation PoolBy(DType dtype, int64_t lanes, int64_t window, bool side_by_side,
                      bool onednn_has_code) {
  const bool able = (dtype == DType::kF32 || dtype == DType::kBf16) && lanes >= 8 &&
                    lanes % 8 == 0 && window <= 256;
  // Ours has loops for windows of 2 x 2 and 3 x 3 side by side; over others it gathers.
  const bool faster = side_by_side && (window == 4 || window == 9);
  return able && (faster || !onednn_has_code) ? Implementation::kOurs : Implementation::kOneDnn;
}

}  // namespace hone::engine
