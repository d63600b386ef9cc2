#include "engine/tasks/attention_map.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace hone::engine::tasks {

image::Image Draw(const AttentionMap& map) {
  constexpr int64_t kSquare = 24, kStep = kSquare + 1;  // pixels; with the line behind it
  constexpr uint8_t kLine = 160;
  const auto rows = static_cast<int64_t>(map.size());
  const auto columns = static_cast<int64_t>(map[0].size());
  image::Image picture{
      .channels = 1, .height = rows * kStep + 1, .width = columns * kStep + 1, .pixels = {}};
  picture.pixels.assign(static_cast<size_t>(picture.height * picture.width), kLine);
  for (int64_t y = 0; y < picture.height; ++y) {
    for (int64_t x = 0; x < picture.width; ++x) {
      if (y % kStep == 0 || x % kStep == 0) {
        continue;
      }
      const float share = map[static_cast<size_t>(y / kStep)][static_cast<size_t>(x / kStep)];
      const float dark = share > 0 ? std::min(share, 1.0f) : 0;
      picture.pixels[static_cast<size_t>(y * picture.width + x)] =
          static_cast<uint8_t>(std::lround(255 * (1 - dark)));
    }
  }
  return picture;
}

std::string Tabulate(const AttentionMap& map, std::span<const std::string> read,
                     std::span<const std::string> written) {
  std::string table;
  for (const std::string& token : read) {
    absl::StrAppend(&table, "\t", token);
  }
  table.push_back('\n');
  for (size_t row = 0; row < map.size(); ++row) {
    absl::StrAppend(&table, written[row]);
    for (const float share : map[row]) {
      absl::StrAppend(&table, absl::StrFormat("\t%.3f", share));
    }
    table.push_back('\n');
  }
  return table;
}

}  // namespace hone::engine::tasks
