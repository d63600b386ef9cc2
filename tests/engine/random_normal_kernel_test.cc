#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/kernels/random_normal.h"

namespace hone::engine::kernels {
namespace {

std::vector<float> Numbers(uint64_t first, int64_t count, float factor = 1) {
  std::vector<float> y(static_cast<size_t>(count));
  RandomNormal(/*key=*/17, factor, first, count, y.data());
  return y;
}

TEST(RandomNormal, HasTheMomentsOfTheNormalDistribution) {
  constexpr int kCount = 1 << 20;
  double sum = 0, squares = 0, fourth = 0;
  int beyond_two = 0;
  for (const float y : Numbers(0, kCount)) {
    const double v = y;
    sum += v;
    squares += v * v;
    fourth += v * v * v * v;
    beyond_two += std::abs(v) > 2;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.005);
  EXPECT_NEAR(squares / kCount, 1, 0.005);
  EXPECT_NEAR(fourth / kCount, 3, 0.03);
  EXPECT_NEAR(beyond_two / double{kCount}, 0.0455, 0.001);
}

TEST(RandomNormal, GivesAPartTheBitsOfTheWhole) {
  const std::vector<float> whole = Numbers(0, 1000);
  for (const int64_t first : {1, 3, 64, 997}) {
    for (const int64_t count : {1, 2, 100, 130}) {
      const int64_t n = std::min<int64_t>(count, 1000 - first);
      const std::vector<float> part = Numbers(static_cast<uint64_t>(first), n);
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_EQ(part[static_cast<size_t>(i)], whole[static_cast<size_t>(first + i)])
            << "element " << i << " from " << first;
      }
    }
  }
}

TEST(RandomNormal, IsNearTheNumbersInDouble) {
  const std::vector<float> y = Numbers(5, 5000, 2);
  for (size_t i = 0; i < y.size(); ++i) {
    EXPECT_NEAR(y[i], 2 * NormalAt(17, 5 + i), 5e-6);
  }
}

}  // namespace
}  // namespace hone::engine::kernels
