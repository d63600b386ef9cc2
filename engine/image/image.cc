#include "engine/image/image.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace hone::engine::image {
namespace {

constexpr uint8_t kGapGrey = 128;

// What one output coordinate takes from the input: weights[i] of input first + i; they sum to 1.
struct Taps {
  int64_t first = 0;
  std::vector<float> weights;
};

std::vector<Taps> MakeTaps(int64_t in, int64_t out) {
  std::vector<Taps> taps(static_cast<size_t>(out));
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  for (int64_t o = 0; o < out; ++o) {
    Taps& tap = taps[static_cast<size_t>(o)];
    if (scale > 1) {
      const double low = static_cast<double>(o) * scale;
      const double high = std::min(low + scale, static_cast<double>(in));
      tap.first = static_cast<int64_t>(low);
      for (int64_t i = tap.first; static_cast<double>(i) < high && i < in; ++i) {
        const double covered =
            std::min(high, static_cast<double>(i + 1)) - std::max(low, static_cast<double>(i));
        tap.weights.push_back(static_cast<float>(covered / (high - low)));
      }
      continue;
    }
    const double center = (static_cast<double>(o) + 0.5) * scale - 0.5;
    const double low = std::clamp(center, 0.0, static_cast<double>(in - 1));
    tap.first = static_cast<int64_t>(low);
    const auto fraction = static_cast<float>(low - static_cast<double>(tap.first));
    tap.weights.push_back(1 - fraction);
    if (tap.first + 1 < in) {
      tap.weights.push_back(fraction);
    }
  }
  return taps;
}

}  // namespace

Image Resize(const Image& image, int64_t height, int64_t width) {
  if (image.height == height && image.width == width) {
    return image;
  }
  const std::vector<Taps> columns = MakeTaps(image.width, width);
  const std::vector<Taps> rows = MakeTaps(image.height, height);
  Image out{image.channels, height, width,
            std::vector<uint8_t>(static_cast<size_t>(image.channels * height * width))};
  std::vector<float> narrow(static_cast<size_t>(image.height * width));  // one channel
  for (int64_t c = 0; c < image.channels; ++c) {
    const uint8_t* in = image.pixels.data() + c * image.height * image.width;
    for (int64_t y = 0; y < image.height; ++y) {
      for (int64_t x = 0; x < width; ++x) {
        const Taps& tap = columns[static_cast<size_t>(x)];
        const uint8_t* from = in + y * image.width + tap.first;
        float sum = 0;
        for (size_t i = 0; i < tap.weights.size(); ++i) {
          sum += tap.weights[i] * from[i];
        }
        narrow[static_cast<size_t>(y * width + x)] = sum;
      }
    }
    uint8_t* to = out.pixels.data() + c * height * width;
    for (int64_t y = 0; y < height; ++y) {
      const Taps& tap = rows[static_cast<size_t>(y)];
      for (int64_t x = 0; x < width; ++x) {
        float sum = 0;
        for (size_t i = 0; i < tap.weights.size(); ++i) {
          sum += tap.weights[i] *
                 narrow[static_cast<size_t>((tap.first + static_cast<int64_t>(i)) * width + x)];
        }
        to[y * width + x] = static_cast<uint8_t>(std::clamp(sum + 0.5f, 0.0f, 255.0f));
      }
    }
  }
  return out;
}

Image WithChannels(const Image& image, int64_t channels) {
  if (image.channels == channels) {
    return image;
  }
  const auto plane = static_cast<size_t>(image.height * image.width);
  Image out{channels, image.height, image.width,
            std::vector<uint8_t>(static_cast<size_t>(channels) * plane)};
  const uint8_t* in = image.pixels.data();
  if (channels == 3) {
    for (size_t c = 0; c < 3; ++c) {
      std::memcpy(out.pixels.data() + c * plane, in, plane);
    }
    return out;
  }
  for (size_t i = 0; i < plane; ++i) {
    // 0.299, 0.587 and 0.114 in 65536ths, rounded; white stays white.
    const uint32_t grey =
        19595u * in[i] + 38470u * in[plane + i] + 7471u * in[2 * plane + i] + 32768u;
    out.pixels[i] = static_cast<uint8_t>(grey >> 16);
  }
  return out;
}

absl::StatusOr<std::string> EncodePng(const Image& image) {
  const int64_t plane = image.height * image.width;
  if ((image.channels != 1 && image.channels != 3) || image.height < 1 || image.width < 1 ||
      static_cast<int64_t>(image.pixels.size()) != image.channels * plane) {
    return absl::InvalidArgumentError(
        absl::StrCat("a PNG needs 1 or 3 channels and all pixels, got ", image.channels, "x",
                     image.height, "x", image.width, " with ", image.pixels.size()));
  }
  std::vector<uint8_t> rows(image.pixels.size());
  for (int64_t c = 0; c < image.channels; ++c) {
    for (int64_t i = 0; i < plane; ++i) {
      rows[static_cast<size_t>(i * image.channels + c)] =
          image.pixels[static_cast<size_t>(c * plane + i)];
    }
  }
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  std::string bytes;
  if (png_image_write_to_memory(&png, nullptr, &size, 0, rows.data(), 0, nullptr)) {
    bytes.resize(size);
    if (png_image_write_to_memory(&png, bytes.data(), &size, 0, rows.data(), 0, nullptr)) {
      bytes.resize(size);
      return bytes;
    }
  }
  return absl::InternalError(absl::StrCat("writing a PNG: ", png.message));
}

absl::StatusOr<Image> Grid(std::span<const Image> images, int64_t columns, int64_t gap) {
  if (images.empty() || columns < 1 || gap < 0) {
    return absl::InvalidArgumentError("a grid needs at least one picture and one column");
  }
  const Image& first = images[0];
  const auto count = static_cast<int64_t>(images.size());
  columns = std::min(columns, count);
  const int64_t rows = (count + columns - 1) / columns;
  Image grid{
      first.channels, rows * (first.height + gap) - gap, columns * (first.width + gap) - gap, {}};
  grid.pixels.assign(static_cast<size_t>(grid.channels * grid.height * grid.width), kGapGrey);
  for (int64_t i = 0; i < count; ++i) {
    const Image& image = images[static_cast<size_t>(i)];
    if (image.channels != first.channels || image.height != first.height ||
        image.width != first.width) {
      return absl::InvalidArgumentError(
          absl::StrCat("picture ", i, " of the grid has another size than the first"));
    }
    const int64_t top = i / columns * (first.height + gap);
    const int64_t left = i % columns * (first.width + gap);
    for (int64_t c = 0; c < image.channels; ++c) {
      for (int64_t y = 0; y < image.height; ++y) {
        std::memcpy(grid.pixels.data() + (c * grid.height + top + y) * grid.width + left,
                    image.pixels.data() + (c * image.height + y) * image.width,
                    static_cast<size_t>(image.width));
      }
    }
  }
  return grid;
}

}  // namespace hone::engine::image
