#include "engine/tasks/attention_map.h"

#include <gmock/gmock.h>

#include <limits>

namespace hone::engine::tasks {
namespace {

using ::testing::Each;

const AttentionMap kMap = {{0.25f, 0.75f, 0}, {1, 0, 0}};
constexpr int64_t kStep = 25;  // pixels from a square to the next

// In the middle of a square.
int Pixel(const image::Image& picture, int64_t row, int64_t column) {
  const int64_t y = row * kStep + kStep / 2, x = column * kStep + kStep / 2;
  return picture.pixels[static_cast<size_t>(y * picture.width + x)];
}

TEST(AttentionMap, HasASquareForEachShareTheDarkerTheLarger) {
  const image::Image picture = Draw(kMap);
  EXPECT_EQ(picture.channels, 1);
  EXPECT_EQ(picture.height, 2 * kStep + 1);
  EXPECT_EQ(picture.width, 3 * kStep + 1);
  EXPECT_EQ(Pixel(picture, 0, 0), 191);
  EXPECT_EQ(Pixel(picture, 0, 1), 64);
  EXPECT_EQ(Pixel(picture, 0, 2), 255);
  EXPECT_EQ(Pixel(picture, 1, 0), 0);
}

TEST(AttentionMap, HasLinesBetweenItsSquares) {
  const image::Image picture = Draw(kMap);
  std::vector<int> line;
  for (int64_t x = 0; x < picture.width; ++x) {
    line.push_back(picture.pixels[static_cast<size_t>(kStep * picture.width + x)]);
  }
  EXPECT_THAT(line, Each(160));
}

TEST(AttentionMap, WhatIsNotANumberIsDrawnAsNothing) {
  EXPECT_EQ(Pixel(Draw({{std::numeric_limits<float>::quiet_NaN()}}), 0, 0), 255);
}

TEST(AttentionMap, IsATableOfTheTokensAndTheirShares) {
  const std::vector<std::string> read = {"i", "am", "."}, written = {"suis", "</s>"};
  EXPECT_EQ(Tabulate(kMap, read, written),
            "\ti\tam\t.\nsuis\t0.250\t0.750\t0.000\n</s>\t1.000\t0.000\t0.000\n");
}

}  // namespace
}  // namespace hone::engine::tasks
