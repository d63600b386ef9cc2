#include <gmock/gmock.h>

#include <cmath>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/kernels/tile_blocks.h"
#include "engine/tensor/tensor.h"

namespace hone::engine::kernels {
namespace {

struct Weight {
  int64_t inputs, outputs;
  bool transposed;
};

void PrintTo(const Weight& w, std::ostream* out) {
  *out << w.inputs << " to " << w.outputs << (w.transposed ? ", transposed" : "");
}

class TileBlocks : public ::testing::TestWithParam<Weight> {};

TEST_P(TileBlocks, HoldEachWeightInItsWordAndZerosUpToWholeBlocks) {
  if (CpuInstructionSet() < InstructionSet::kAvx512Bf16) {
    GTEST_SKIP() << "this processor has no AVX512-BF16";
  }
  const auto [inputs, outputs, transposed] = GetParam();
  std::vector<float> weight(static_cast<size_t>(inputs * outputs));
  for (size_t i = 0; i < weight.size(); ++i) {
    weight[i] = std::sin(static_cast<float>(i + 1));
  }
  const int64_t rows = (inputs + 31) / 32 * 32, columns = (outputs + 63) / 64 * 64;
  std::vector<uint32_t> words(static_cast<size_t>(rows / 2 * columns), 0x7fc07fc0);
  PackTileBlocks(weight.data(), inputs, outputs, transposed, words.data());
  for (int64_t o = 0; o < columns; ++o) {
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t block = o / 64 * (rows / 32) + i / 32, pair = i % 32 / 2;
      const uint32_t word = words[static_cast<size_t>(block * 1024 + pair * 64 + o % 64)];
      const bool there = o < outputs && i < inputs;
      const float expected =
          there ? weight[static_cast<size_t>(transposed ? o * inputs + i : i * outputs + o)] : 0;
      EXPECT_EQ(i % 2 == 0 ? word & 0xffff : word >> 16, ToBf16(expected))
          << "input " << i << ", output " << o;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Of, TileBlocks,
                         ::testing::Values(Weight{32, 64, false}, Weight{32, 64, true},
                                           Weight{1, 1, false}, Weight{1, 1, true},
                                           Weight{45, 83, false}, Weight{45, 83, true},
                                           Weight{79, 130, false}, Weight{79, 130, true}));

}  // namespace
}  // namespace hone::engine::kernels
