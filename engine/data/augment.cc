#include "engine/data/augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>

#include "engine/base/rng.h"

namespace hone::engine::data {
namespace {

constexpr uint8_t kGrey = 128;

struct Plane {
  int64_t height;
  int64_t width;
};

// out[y, x] = in[y - dy, x - dx], mirrored first where asked; black where there is nothing.
void Move(const uint8_t* in, Plane plane, int64_t dy, int64_t dx, bool flip, uint8_t* out) {
  const int64_t width = plane.width;
  const int64_t first = std::clamp<int64_t>(dx, 0, width);
  const int64_t last = std::clamp<int64_t>(width + dx, first, width);
  for (int64_t y = 0; y < plane.height; ++y, out += width) {
    const int64_t from = y - dy;
    if (from < 0 || from >= plane.height || first >= last) {
      std::memset(out, 0, static_cast<size_t>(width));
      continue;
    }
    const uint8_t* row = in + from * width;
    std::memset(out, 0, static_cast<size_t>(first));
    std::memset(out + last, 0, static_cast<size_t>(width - last));
    if (flip) {
      for (int64_t x = first; x < last; ++x) {
        out[x] = row[width - 1 - (x - dx)];
      }
    } else {
      std::memcpy(out + first, row + first - dx, static_cast<size_t>(last - first));
    }
  }
}

// The same turned about its centre, bilinear.
void Turn(const uint8_t* in, Plane plane, float angle, int64_t dy, int64_t dx, bool flip,
          uint8_t* out) {
  const float cosine = std::cos(angle);
  const float sine = std::sin(angle);
  const float cy = static_cast<float>(plane.height - 1) / 2;
  const float cx = static_cast<float>(plane.width - 1) / 2;
  const auto at = [&](int64_t y, int64_t x) -> float {
    return y >= 0 && y < plane.height && x >= 0 && x < plane.width ? in[y * plane.width + x] : 0;
  };
  for (int64_t y = 0; y < plane.height; ++y) {
    for (int64_t x = 0; x < plane.width; ++x) {
      const float v = static_cast<float>(y - dy) - cy;
      const float u = static_cast<float>(x - dx) - cx;
      const float sy = sine * u + cosine * v + cy;
      float sx = cosine * u - sine * v + cx;
      sx = flip ? 2 * cx - sx : sx;
      const float fy = std::floor(sy);
      const float fx = std::floor(sx);
      const auto iy = static_cast<int64_t>(fy);
      const auto ix = static_cast<int64_t>(fx);
      const float wy = sy - fy;
      const float wx = sx - fx;
      const float value = (1 - wy) * ((1 - wx) * at(iy, ix) + wx * at(iy, ix + 1)) +
                          wy * ((1 - wx) * at(iy + 1, ix) + wx * at(iy + 1, ix + 1));
      *out++ = static_cast<uint8_t>(value + 0.5f);
    }
  }
}

void ChangeLight(float contrast, float brightness, int64_t count, uint8_t* pixels) {
  std::array<uint8_t, 256> map;
  for (int value = 0; value < 256; ++value) {
    const float changed = ((static_cast<float>(value) - 127.5f) * contrast + 127.5f) * brightness;
    map[static_cast<size_t>(value)] =
        static_cast<uint8_t>(std::clamp(changed + 0.5f, 0.0f, 255.0f));
  }
  for (int64_t i = 0; i < count; ++i) {
    pixels[i] = map[pixels[i]];
  }
}

void Erase(RandomStream& stream, int64_t channels, Plane plane, uint8_t* out) {
  const auto extent = [&](int64_t side) {
    return 1 + static_cast<int64_t>(
                   stream.NextBelow(static_cast<uint64_t>(std::max<int64_t>(side / 3, 1))));
  };
  const int64_t height = extent(plane.height);
  const int64_t width = extent(plane.width);
  const auto top =
      static_cast<int64_t>(stream.NextBelow(static_cast<uint64_t>(plane.height - height + 1)));
  const auto left =
      static_cast<int64_t>(stream.NextBelow(static_cast<uint64_t>(plane.width - width + 1)));
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t y = top; y < top + height; ++y) {
      std::memset(out + (c * plane.height + y) * plane.width + left, kGrey,
                  static_cast<size_t>(width));
    }
  }
}

// A whole number in [-most, most].
int64_t Offset(RandomStream& stream, int64_t most) {
  return static_cast<int64_t>(stream.NextBelow(static_cast<uint64_t>(2 * most + 1))) - most;
}

}  // namespace

void Augment(const Augmentation& augmentation, const AugmentKey& key, const uint8_t* in,
             const Shape& shape, uint8_t* out) {
  const int64_t channels = shape[0];
  const Plane plane{shape[1], shape[2]};
  RandomStream stream(key.seed, "augment",
                      static_cast<uint64_t>(key.epoch) << 32 | static_cast<uint32_t>(key.row));
  int64_t dy = 0;
  int64_t dx = 0;
  if (augmentation.shift > 0) {
    dy +=
        Offset(stream, static_cast<int64_t>(augmentation.shift * static_cast<float>(plane.height)));
    dx +=
        Offset(stream, static_cast<int64_t>(augmentation.shift * static_cast<float>(plane.width)));
  }
  // Padding by p and cropping back to the old size is a move by up to p.
  if (augmentation.crop_padding > 0) {
    dy += Offset(stream, augmentation.crop_padding);
    dx += Offset(stream, augmentation.crop_padding);
  }
  const bool flip = augmentation.horizontal_flip && (stream.NextBits() & 1) != 0;
  float angle = 0;
  if (augmentation.rotate_degrees > 0) {
    angle = stream.NextUniform(-augmentation.rotate_degrees, augmentation.rotate_degrees) *
            std::numbers::pi_v<float> / 180;
  }
  const int64_t size = plane.height * plane.width;
  for (int64_t c = 0; c < channels; ++c) {
    if (angle != 0) {
      Turn(in + c * size, plane, angle, dy, dx, flip, out + c * size);
    } else {
      Move(in + c * size, plane, dy, dx, flip, out + c * size);
    }
  }
  if (augmentation.brightness > 0 || augmentation.contrast > 0) {
    const float contrast = 1 + stream.NextUniform(-augmentation.contrast, augmentation.contrast);
    const float brightness =
        1 + stream.NextUniform(-augmentation.brightness, augmentation.brightness);
    ChangeLight(contrast, brightness, channels * size, out);
  }
  if (augmentation.erase_probability > 0 && stream.NextUnit() < augmentation.erase_probability) {
    Erase(stream, channels, plane, out);
  }
}

}  // namespace hone::engine::data
