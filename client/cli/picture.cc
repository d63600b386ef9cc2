#include "client/cli/picture.h"

#include <algorithm>

#include "engine/image/image.h"

namespace hone::client::cli {

std::vector<Line> RenderPicture(absl::string_view file, int columns, int lines) {
  constexpr int kIndent = 1, kLeastColumns = 16, kLeastLines = 4;
  const auto image = engine::image::Decode(file, "picture", {.max_pixels = int64_t{4} << 20});
  if (!image.ok() || columns - kIndent < kLeastColumns || lines < kLeastLines) {
    return {};
  }
  const int64_t width = std::min<int64_t>(columns - kIndent, image->width);
  const int64_t height = std::max<int64_t>(image->height * width / image->width, 1);
  const engine::image::Image small = engine::image::Resize(*image, height, width);
  const int64_t shown = std::min<int64_t>(height / 2 * 2, int64_t{2} * lines);
  const int64_t plane = height * width;
  const auto pixel = [&](int64_t y, int64_t x) {
    const auto at = [&](int64_t channel) {
      const int64_t from = small.channels == 1 ? 0 : channel;
      return small.pixels[static_cast<size_t>(from * plane + y * width + x)];
    };
    return Line::Pixel{at(0), at(1), at(2)};
  };
  std::vector<Line> text;
  for (int64_t y = 0; y < shown; y += 2) {
    Line& line = text.emplace_back();
    line.PadTo(kIndent);
    for (int64_t x = 0; x < width; ++x) {
      line.AddPixels(pixel(y, x), pixel(y + 1, x));
    }
  }
  return text;
}

}  // namespace hone::client::cli
