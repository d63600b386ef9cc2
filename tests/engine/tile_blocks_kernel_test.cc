#include <gmock/gmock.h>

#include <cmath>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/kernels/tile_blocks.h"
#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {
namespace {

using Weight = std::tuple<TileBlocks, DType>;

class PackedTileBlocks : public ::testing::TestWithParam<Weight> {};

TEST_P(PackedTileBlocks, HoldEachWeightInItsWordAndZerosUpToWholeBlocks) {
  if (CpuInstructionSet() < InstructionSet::kAvx512Bf16) {
    GTEST_SKIP() << "this processor has no AVX512-BF16";
  }
  TileBlocks blocks = std::get<0>(GetParam());
  blocks.from = std::get<1>(GetParam());
  const int64_t inputs = blocks.inputs, outputs = blocks.outputs;
  std::vector<float> weight(static_cast<size_t>(inputs * outputs));
  std::vector<uint16_t> rounded;
  for (size_t i = 0; i < weight.size(); ++i) {
    weight[i] = std::sin(static_cast<float>(i + 1));
    rounded.push_back(ToBf16(weight[i]));
  }
  const int64_t rows = (inputs + 31) / 32 * 32, columns = blocks.rows() * 64;
  std::vector<uint32_t> words(static_cast<size_t>(rows / 2 * columns), 0x7fc07fc0);
  const void* from =
      blocks.from == DType::kBf16 ? static_cast<const void*>(rounded.data()) : weight.data();
  for (int64_t block = 0; block < blocks.rows(); ++block) {
    Pack(blocks, from, words.data(), block, block + 1);
  }
  for (int64_t o = 0; o < columns; ++o) {
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t block = o / 64 * (rows / 32) + i / 32, pair = i % 32 / 2;
      const uint32_t word = words[static_cast<size_t>(block * 1024 + pair * 64 + o % 64)];
      const int64_t at = blocks.transposed ? o * inputs + i : i * outputs + o;
      const bool there = o < outputs && i < inputs;
      EXPECT_EQ(i % 2 == 0 ? word & 0xffff : word >> 16,
                there ? rounded[static_cast<size_t>(at)] : 0)
          << inputs << " to " << outputs << ": input " << i << ", output " << o;
    }
  }
}

TileBlocks Of(int64_t inputs, int64_t outputs, bool transposed) {
  return {DType::kF32, inputs, outputs, transposed};
}

INSTANTIATE_TEST_SUITE_P(
    All, PackedTileBlocks,
    ::testing::Combine(::testing::Values(Of(32, 64, false), Of(32, 64, true), Of(1, 1, false),
                                         Of(1, 1, true), Of(45, 83, false), Of(45, 83, true),
                                         Of(79, 130, false), Of(79, 130, true)),
                       ::testing::Values(DType::kF32, DType::kBf16)));

}  // namespace
}  // namespace hone::engine::kernels
