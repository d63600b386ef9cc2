#include <gmock/gmock.h>

#include <vector>

#include "engine/kernels/attention.h"

namespace hone::engine::kernels {
namespace {

using ::testing::ElementsAre;

std::vector<float> SlopesOf(int64_t heads) {
  std::vector<float> slopes;
  for (int64_t head = 0; head < heads; ++head) {
    slopes.push_back(AlibiSlope(head, heads));
  }
  return slopes;
}

TEST(AlibiSlope, HalvesFromHeadToHeadOfEight) {
  EXPECT_THAT(SlopesOf(8), ElementsAre(1.0f / 2, 1.0f / 4, 1.0f / 8, 1.0f / 16, 1.0f / 32,
                                       1.0f / 64, 1.0f / 128, 1.0f / 256));
}

TEST(AlibiSlope, OfOtherCountsTakesThoseBetween) {
  EXPECT_THAT(SlopesOf(6),
              ElementsAre(1.0f / 4, 1.0f / 16, 1.0f / 64, 1.0f / 256, 1.0f / 2, 1.0f / 8));
  EXPECT_THAT(SlopesOf(1), ElementsAre(1.0f / 256));
}

}  // namespace
}  // namespace hone::engine::kernels
