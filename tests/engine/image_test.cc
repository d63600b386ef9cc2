#include "engine/image/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <jpeglib.h>
#include <stdio.h>
#include <stdlib.h>

#include <numeric>

#include "tests/support/status_matchers.h"

namespace hone::engine::image {
namespace {

using ::hone::testing::IsOk;
using ::hone::testing::kInvalid;
using ::hone::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;

Image Ramp(int64_t channels, int64_t height, int64_t width) {
  Image image{channels, height, width,
              std::vector<uint8_t>(static_cast<size_t>(channels * height * width))};
  std::iota(image.pixels.begin(), image.pixels.end(), uint8_t{0});
  return image;
}

std::string Png(const Image& image) { return EncodePng(image).value(); }

// A JPEG of one colour.
std::string Jpeg(int64_t channels, int64_t height, int64_t width, uint8_t value) {
  jpeg_compress_struct info{};
  jpeg_error_mgr error{};
  info.err = jpeg_std_error(&error);
  jpeg_create_compress(&info);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &out, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = static_cast<int>(channels);
  info.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_start_compress(&info, TRUE);
  std::vector<uint8_t> row(static_cast<size_t>(width * channels), value);
  JSAMPROW rows[] = {row.data()};
  for (int64_t y = 0; y < height; ++y) {
    jpeg_write_scanlines(&info, rows, 1);
  }
  jpeg_finish_compress(&info);
  std::string bytes(reinterpret_cast<char*>(out), size);
  jpeg_destroy_compress(&info);
  std::free(out);
  return bytes;
}

TEST(Png, GreyAndColourComeBackAsTheyWere) {
  for (const int64_t channels : {1, 3}) {
    const Image image = Ramp(channels, 5, 7);
    const auto decoded = Decode(Png(image), "a.png");
    ASSERT_THAT(decoded, IsOk());
    EXPECT_EQ(decoded->channels, channels);
    EXPECT_EQ(decoded->height, 5);
    EXPECT_EQ(decoded->width, 7);
    EXPECT_EQ(decoded->pixels, image.pixels);
  }
}

TEST(Png, IsRefusedWhenTruncatedAtAnyByte) {
  const std::string whole = Png(Ramp(3, 9, 9));
  // The last 12 bytes are the end mark, which libpng does not need.
  for (size_t length = 0; length + 12 < whole.size(); ++length) {
    EXPECT_THAT(Decode(whole.substr(0, length), "a.png"), StatusIs(kInvalid, HasSubstr("a.png")))
        << length;
  }
}

TEST(Png, IsRefusedWhenItsHeaderPromisesTooMuch) {
  std::string bytes = Png(Ramp(1, 4, 4));
  EXPECT_THAT(Decode(bytes, "a.png", {.max_pixels = 15}),
              StatusIs(kInvalid, AllOf(HasSubstr("a.png"), HasSubstr("4x4"))));
}

TEST(Jpeg, GreyAndColourAreDecoded) {
  for (const int64_t channels : {1, 3}) {
    const auto decoded = Decode(Jpeg(channels, 10, 20, 200), "a.jpg");
    ASSERT_THAT(decoded, IsOk());
    EXPECT_EQ(decoded->channels, channels);
    EXPECT_EQ(decoded->height, 10);
    EXPECT_EQ(decoded->width, 20);
    EXPECT_THAT(decoded->pixels, Each(AllOf(Ge(198), Le(202))));
  }
}

TEST(Jpeg, IsRefusedWhenTruncatedAtAnyByte) {
  const std::string whole = Jpeg(3, 40, 40, 77);
  for (size_t length = 0; length + 2 < whole.size(); ++length) {
    EXPECT_THAT(Decode(whole.substr(0, length), "a.jpg"), StatusIs(kInvalid, HasSubstr("a.jpg")))
        << length;
  }
}

TEST(Jpeg, IsRefusedWhenLargerThanTheCap) {
  EXPECT_THAT(Decode(Jpeg(1, 100, 100, 0), "a.jpg", {.max_pixels = 9999}),
              StatusIs(kInvalid, HasSubstr("100x100")));
}

TEST(Jpeg, IsDecodedSmallerButNotSmallerThanAskedFor) {
  const auto decoded = Decode(Jpeg(3, 400, 400, 90), "a.jpg", {.min_height = 60, .min_width = 90});
  ASSERT_THAT(decoded, IsOk());
  EXPECT_EQ(decoded->height, 100);
  EXPECT_EQ(decoded->width, 100);
}

TEST(Decode, RefusesOtherFilesByName) {
  EXPECT_THAT(Decode("GIF89a", "cats/1.png"),
              StatusIs(kInvalid, HasSubstr("cats/1.png: is neither a PNG nor a JPEG")));
}

TEST(Decode, SizeIsReadWithoutPixels) {
  const auto png = DecodeSize(Png(Ramp(3, 5, 7)), "a.png");
  ASSERT_THAT(png, IsOk());
  EXPECT_EQ(png->channels, 3);
  EXPECT_EQ(png->width, 7);
  const auto jpeg = DecodeSize(Jpeg(1, 10, 20, 5), "a.jpg");
  ASSERT_THAT(jpeg, IsOk());
  EXPECT_EQ(jpeg->channels, 1);
  EXPECT_EQ(jpeg->height, 10);
}

TEST(Resize, AveragesAreasWhenItShrinks) {
  const Image image{1, 2, 4, {0, 10, 20, 30, 10, 20, 30, 40}};
  EXPECT_THAT(Resize(image, 1, 2).pixels, ElementsAre(10, 30));
}

TEST(Resize, InterpolatesWhenItGrows) {
  const Image image{1, 1, 2, {0, 100}};
  EXPECT_THAT(Resize(image, 1, 4).pixels, ElementsAre(0, 25, 75, 100));
}

TEST(Resize, KeepsOneColourAtAnySize) {
  const Image image{3, 13, 7, std::vector<uint8_t>(3 * 13 * 7, 255)};
  for (const int64_t size : {1, 5, 7, 13, 28, 40}) {
    EXPECT_THAT(Resize(image, size, size).pixels, Each(255));
  }
}

TEST(WithChannels, WeighsRedGreenAndBlueAndCopiesGrey) {
  const Image image{3, 1, 4, {255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255}};
  EXPECT_THAT(WithChannels(image, 1).pixels, ElementsAre(76, 150, 29, 255));
  EXPECT_THAT(WithChannels({1, 1, 2, {3, 4}}, 3).pixels, ElementsAre(3, 4, 3, 4, 3, 4));
}

TEST(Grid, PutsPicturesSideBySideWithAGap) {
  const std::vector<Image> images(3, Image{1, 1, 1, {7}});
  const auto grid = Grid(images, 2, 1);
  ASSERT_THAT(grid, IsOk());
  EXPECT_EQ(grid->width, 3);
  EXPECT_THAT(grid->pixels, ElementsAre(7, 128, 7, 128, 128, 128, 7, 128, 128));
}

TEST(Grid, RefusesPicturesOfDifferentSizes) {
  const std::vector<Image> images = {{1, 1, 1, {7}}, {1, 1, 2, {7, 7}}};
  EXPECT_THAT(Grid(images, 2), StatusIs(kInvalid, HasSubstr("picture 1")));
}

}  // namespace
}  // namespace hone::engine::image
