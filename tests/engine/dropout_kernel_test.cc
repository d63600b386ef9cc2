#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "engine/kernels/dropout.h"

namespace hone::engine::kernels {
namespace {

// Starts within a block of eight numbers, lengths around those of vectors, and a carry out of the
// lower half of the counter.
TEST(Dropout, MakesTheSameMaskInVectorsAsOneElementAfterAnother) {
  constexpr float kRate = 0.3f;
  constexpr uint64_t kKey = 0x0123456789abcdef;
  for (const uint64_t first : {0ull, 1ull, 6ull, 1000003ull, (1ull << 35) - 300, 1ull << 36}) {
    for (const int64_t n : {1, 3, 15, 16, 64, 65, 1027}) {
      std::vector<float> x(static_cast<size_t>(n), -1.5f), y(x.size());
      std::vector<uint16_t> half(x.size(), ToBf16(-1.5f)), half_y(x.size());
      Dropout(DType::kF32, kRate, kKey, first, x.data(), y.data(), 0, n);
      Dropout(DType::kBf16, kRate, kKey, first, half.data(), half_y.data(), 0, n);
      for (size_t i = 0; i < x.size(); ++i) {
        const float scale = DropoutKeeps(kRate, kKey, first + i) ? 1 / (1 - kRate) : 0;
        ASSERT_EQ(y[i], -1.5f * scale) << "element " << i << " of " << n << " from " << first;
        ASSERT_EQ(half_y[i], ToBf16(-1.5f * scale));
      }
    }
  }
}

TEST(Dropout, DropsTheShareThatItIsAskedFor) {
  const std::vector<float> x(100000, 1);
  std::vector<float> y(x.size());
  Dropout(DType::kF32, 0.25f, 5, 0, x.data(), y.data(), 0, 100000);
  EXPECT_NEAR(static_cast<double>(std::count(y.begin(), y.end(), 0.0f)), 25000, 600);
}

}  // namespace
}  // namespace hone::engine::kernels
