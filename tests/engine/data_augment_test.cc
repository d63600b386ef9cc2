#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "engine/data/augment.h"

namespace hone::engine::data {
namespace {

using ::testing::ElementsAre;

using Pixels = std::vector<uint8_t>;

Pixels Ramp(const Shape& shape) {
  Pixels pixels(static_cast<size_t>(shape.elements()));
  std::iota(pixels.begin(), pixels.end(), uint8_t{1});
  return pixels;
}

Pixels Augmented(const Augmentation& augmentation, const AugmentKey& key, const Pixels& in,
                 const Shape& shape) {
  Pixels out(in.size(), 99);
  Augment(augmentation, key, in.data(), shape, out.data());
  return out;
}

Augmentation Everything() {
  return {.shift = 0.2f,
          .horizontal_flip = true,
          .rotate_degrees = 15,
          .crop_padding = 2,
          .erase_probability = 0.5f,
          .brightness = 0.2f,
          .contrast = 0.2f};
}

TEST(Augment, WithoutAnyChangeCopies) {
  const Shape shape{3, 4, 5};
  EXPECT_FALSE(Augmentation{}.any());
  EXPECT_EQ(Augmented({}, {}, Ramp(shape), shape), Ramp(shape));
}

TEST(Augment, DependsOnSeedEpochAndRowAlone) {
  const Shape shape{1, 12, 12};
  const Pixels in = Ramp(shape);
  const Pixels first = Augmented(Everything(), {1, 2, 3}, in, shape);
  EXPECT_EQ(Augmented(Everything(), {1, 2, 3}, in, shape), first);
  EXPECT_NE(Augmented(Everything(), {2, 2, 3}, in, shape), first);
  EXPECT_NE(Augmented(Everything(), {1, 3, 3}, in, shape), first);
  EXPECT_NE(Augmented(Everything(), {1, 2, 4}, in, shape), first);
}

TEST(Augment, FlipsAboutHalfOfThePictures) {
  const Shape shape{1, 1, 3};
  int flipped = 0;
  for (int64_t row = 0; row < 200; ++row) {
    const Pixels out = Augmented({.horizontal_flip = true}, {1, 0, row}, {1, 2, 3}, shape);
    flipped += out == Pixels{3, 2, 1};
    ASSERT_TRUE(out == (Pixels{1, 2, 3}) || out == (Pixels{3, 2, 1}));
  }
  EXPECT_GT(flipped, 70);
  EXPECT_LT(flipped, 130);
}

TEST(Augment, ShiftsByUpToItsShareWithBlackBehind) {
  const Shape shape{1, 1, 4};
  std::set<std::string> seen;
  for (int64_t row = 0; row < 100; ++row) {
    const Pixels out = Augmented({.shift = 0.25f}, {1, 0, row}, {'1', '2', '3', '4'}, shape);
    seen.emplace(out.begin(), out.end());
  }
  EXPECT_THAT(seen, ElementsAre(std::string(1, '\0') + "123", "1234", std::string("234") + '\0'));
}

TEST(Augment, CropMovesAllChannelsTogether) {
  const Shape shape{2, 3, 3};
  Pixels in(18);
  std::iota(in.begin(), in.begin() + 9, uint8_t{1});
  std::copy(in.begin(), in.begin() + 9, in.begin() + 9);
  for (int64_t row = 0; row < 50; ++row) {
    const Pixels out = Augmented({.crop_padding = 5}, {1, 0, row}, in, shape);
    EXPECT_TRUE(std::equal(out.begin(), out.begin() + 9, out.begin() + 9)) << row;
  }
}

TEST(Augment, ErasesARectangleOfGreyNoLargerThanAThird) {
  const Shape shape{1, 9, 9};
  const Pixels in(81, 7);
  for (int64_t row = 0; row < 50; ++row) {
    const Pixels out = Augmented({.erase_probability = 0.999f}, {1, 0, row}, in, shape);
    const auto grey = std::count(out.begin(), out.end(), 128);
    EXPECT_LE(grey, 9);
    EXPECT_EQ(std::count(out.begin(), out.end(), 7), 81 - grey);
  }
}

TEST(Augment, TurnsAboutTheCentreByNoMoreThanTheAngle) {
  const Shape shape{1, 21, 21};
  Pixels in(441, 0);
  std::fill_n(in.begin() + 10 * 21, 21, uint8_t{255});  // a level line through the centre
  std::set<int> tilts;
  for (int64_t row = 0; row < 40; ++row) {
    const Pixels out = Augmented({.rotate_degrees = 40}, {1, 0, row}, in, shape);
    EXPECT_GE(out[10 * 21 + 10], 254);
    // Where the line passes 7 columns right of the centre: at most tan(40°) × 7 = 5.9 rows away.
    int brightest = 0;
    for (int y = 0; y < 21; ++y) {
      brightest =
          out[static_cast<size_t>(y * 21 + 17)] > out[static_cast<size_t>(brightest * 21 + 17)]
              ? y
              : brightest;
    }
    EXPECT_LE(std::abs(brightest - 10), 6);
    tilts.insert(brightest);
  }
  EXPECT_GE(tilts.size(), 8u);
}

TEST(Augment, RotationKeepsTheMeanOfASmoothPicture) {
  const Shape shape{1, 32, 32};
  Pixels in(1024, 0);
  for (size_t y = 8; y < 24; ++y) {
    std::fill_n(in.begin() + static_cast<std::ptrdiff_t>(y * 32 + 8), 16, uint8_t{200});
  }
  const auto sum = [](const Pixels& p) { return std::accumulate(p.begin(), p.end(), 0.0); };
  for (int64_t row = 0; row < 20; ++row) {
    EXPECT_NEAR(sum(Augmented({.rotate_degrees = 30}, {1, 0, row}, in, shape)) / sum(in), 1, 0.02);
  }
}

TEST(Augment, StaysInsideTheBufferForEverySize) {
  for (const int64_t side : {1, 2, 3, 7}) {
    const Shape shape{3, side, side + 1};
    for (int64_t row = 0; row < 50; ++row) {
      Pixels out(static_cast<size_t>(shape.elements()) + 2, 99);
      Augment(Everything(), {1, 0, row}, Ramp(shape).data(), shape, out.data() + 1);
      ASSERT_EQ(out.front(), 99);
      ASSERT_EQ(out.back(), 99);
    }
  }
}

}  // namespace
}  // namespace hone::engine::data
