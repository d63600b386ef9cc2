#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::engine::image {

// Pixels [channels, height, width], 1 channel (grey) or 3 (RGB).
struct Image {
  int64_t channels = 0;
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> pixels;
};

struct ImageSize {
  int64_t channels = 0;  // 1 or 3; transparency is not a channel
  int64_t height = 0;
  int64_t width = 0;
};

struct DecodeOptions {
  int64_t channels = 0;                    // 1 or 3; 0: as the file has it
  int64_t max_pixels = int64_t{64} << 20;  // height × width
  // A JPEG may be decoded smaller than it is, but not smaller than this; 0: at its own size.
  int64_t min_height = 0;
  int64_t min_width = 0;
};

// PNG or JPEG by its first bytes. Transparent pixels are put on black. INVALID_ARGUMENT names the
// file.
absl::StatusOr<Image> Decode(absl::string_view bytes, absl::string_view name,
                             const DecodeOptions& options = {});
// The size in the header, with the same caps; pixels are not looked at.
absl::StatusOr<ImageSize> DecodeSize(absl::string_view bytes, absl::string_view name,
                                     const DecodeOptions& options = {});

// Averages over areas where it shrinks, bilinear where it grows.
Image Resize(const Image& image, int64_t height, int64_t width);
// RGB to grey by the weights of ITU-R BT.601, grey to three equal channels.
Image WithChannels(const Image& image, int64_t channels);
// Decoded, with this many channels and of this size.
absl::StatusOr<Image> DecodeAs(absl::string_view bytes, absl::string_view name,
                               const ImageSize& size);

// A PNG file's bytes.
absl::StatusOr<std::string> EncodePng(const Image& image);
// Pictures of one size side by side, `columns` in a row, `gap` grey pixels between them.
absl::StatusOr<Image> Grid(std::span<const Image> images, int64_t columns, int64_t gap = 2);

}  // namespace hone::engine::image
