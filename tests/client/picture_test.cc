#include "client/cli/picture.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "client/cli/render.h"
#include "client/cli/story.h"
#include "engine/image/image.h"

// Pictures as blocks of text.
namespace hone::client::cli {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::string Times(int count, const std::string& text) {
  std::string all;
  for (int i = 0; i < count; ++i) {
    all += text;
  }
  return all;
}

// A PNG file of grey pixels, where `lit` says that they are white.
template <class Lit>
std::string Png(int64_t height, int64_t width, const Lit& lit) {
  engine::image::Image image{.channels = 1, .height = height, .width = width, .pixels = {}};
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      image.pixels.push_back(lit(y, x) ? 255 : 0);
    }
  }
  return engine::image::EncodePng(image).value();
}

std::vector<std::string> Plain(const std::vector<Line>& lines) {
  std::vector<std::string> text;
  for (const Line& line : lines) {
    text.push_back(line.Render(200, /*color=*/false));
  }
  return text;
}

TEST(AddPixels, AreBlocksWhereThereAreNoColours) {
  constexpr Line::Pixel kWhite = {255, 255, 255}, kBlack = {0, 0, 0};
  Line line;
  line.AddPixels(kWhite, kBlack).AddPixels(kBlack, kBlack).AddPixels(kBlack, kWhite);
  line.AddPixels(kWhite, kWhite);
  EXPECT_EQ(line.Render(80, /*color=*/false), "▀ ▄█");
  EXPECT_EQ(line.columns(), 4);
}

TEST(AddPixels, AreLitByHowBrightTheyLook) {
  Line line;
  line.AddPixels({0, 255, 0}, {0, 0, 255});  // green is bright and blue is not
  EXPECT_EQ(line.Render(80, /*color=*/false), "▀");
}

TEST(AddPixels, HaveTheNearestOfThe256Colours) {
  Line line;
  line.AddPixels({255, 0, 0}, {0, 255, 0}).AddPixels({0, 0, 0}, {255, 255, 255});
  EXPECT_EQ(line.Render(80, /*color=*/true),
            "\x1b[38;5;196;48;5;46m▀\x1b[0m\x1b[38;5;232;48;5;255m▀\x1b[0m");
}

TEST(AddPixels, AreCutAtTheEndOfTheScreenWithColoursToo) {
  Line line;
  for (int i = 0; i < 5; ++i) {
    line.AddPixels({0, 0, 0}, {0, 0, 0});
  }
  EXPECT_EQ(line.Render(3, /*color=*/true), Times(3, "\x1b[38;5;232;48;5;232m▀\x1b[0m"));
}

TEST(RenderPicture, HasTwoPixelsInACharacter) {
  const std::string file = Png(8, 20, [](int64_t y, int64_t x) { return x >= 10 && y != 3; });
  EXPECT_THAT(Plain(RenderPicture(file, 80, 12)),
              ::testing::ElementsAre(
                  " " + Times(10, " ") + Times(10, "█"), " " + Times(10, " ") + Times(10, "▀"),
                  " " + Times(10, " ") + Times(10, "█"), " " + Times(10, " ") + Times(10, "█")));
}

TEST(RenderPicture, IsMadeAsSmallAsTheScreenInItsProportions) {
  const std::string file = Png(50, 200, [](int64_t, int64_t x) { return x >= 100; });
  EXPECT_THAT(Plain(RenderPicture(file, 41, 20)), SizeIs(5));
  EXPECT_THAT(Plain(RenderPicture(file, 41, 20)), Each(Times(21, " ") + Times(20, "█")));
}

TEST(RenderPicture, ShowsTheUpperPartOfWhatIsTooHigh) {
  const std::string file = Png(400, 32, [](int64_t y, int64_t) { return y < 2; });
  const std::vector<std::string> lines = Plain(RenderPicture(file, 80, 6));
  ASSERT_THAT(lines, SizeIs(6));
  EXPECT_EQ(lines[0], " " + Times(32, "█"));
  EXPECT_EQ(lines[1], "");
}

TEST(RenderPicture, KeepsTheColoursOfOneThatHasSome) {
  engine::image::Image red{.channels = 3, .height = 8, .width = 16, .pixels = {}};
  red.pixels.resize(3 * 8 * 16);
  std::fill_n(red.pixels.begin(), 8 * 16, uint8_t{255});
  const std::vector<Line> lines = RenderPicture(engine::image::EncodePng(red).value(), 80, 12);
  ASSERT_THAT(lines, SizeIs(4));
  EXPECT_EQ(lines[0].Render(80, /*color=*/true),
            " " + Times(16, "\x1b[38;5;196;48;5;196m▀\x1b[0m"));
}

TEST(RenderPicture, IsLeftOutWhereThereIsNoRoomOrNoPicture) {
  const std::string file = Png(8, 20, [](int64_t, int64_t) { return true; });
  EXPECT_THAT(RenderPicture(file, 16, 12), IsEmpty());
  EXPECT_THAT(RenderPicture(file, 80, 3), IsEmpty());
  EXPECT_THAT(RenderPicture(file.substr(0, file.size() / 2), 80, 12), IsEmpty());
  EXPECT_THAT(RenderPicture("", 80, 12), IsEmpty());
}

TEST(RenderLive, ShowsThePictureOfAStoryWhereThereIsRoom) {
  Story story;
  v1::Event event;
  event.mutable_metrics()->set_step(10);
  event.mutable_metrics()->set_total_steps(20);
  story.Apply(event);
  const std::string row = Times(24, "▄");
  EXPECT_THAT(Plain(RenderLive(story, 100, 40)), Not(::testing::Contains(HasSubstr(row))));
  story.SetPicture(Png(8, 24, [](int64_t y, int64_t) { return y % 2 == 1; }));
  EXPECT_THAT(Plain(RenderLive(story, 100, 40)), ::testing::Contains(HasSubstr(row)).Times(4));
  EXPECT_THAT(Plain(RenderLive(story, 100, 8)), Not(::testing::Contains(HasSubstr(row))));
}

}  // namespace
}  // namespace hone::client::cli
