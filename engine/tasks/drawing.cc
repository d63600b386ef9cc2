#include "engine/tasks/drawing.h"

#include <algorithm>
#include <cmath>

#include "engine/base/rng.h"
#include "engine/base/status.h"

namespace hone::engine::tasks {

void FillNoise(uint64_t seed, int64_t number, std::span<float> noise) {
  RandomStream random(seed, "drawing", static_cast<uint64_t>(number));
  std::ranges::generate(noise, [&] { return random.NextNormal(); });
}

void Interpolate(std::span<const float> a, std::span<const float> b, double share,
                 std::span<float> between) {
  double aa = 0, bb = 0, ab = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
    ab += double{a[i]} * b[i];
  }
  const double cosine = aa > 0 && bb > 0 ? std::clamp(ab / std::sqrt(aa * bb), -1.0, 1.0) : 1;
  const double angle = std::acos(cosine), sine = std::sin(angle);
  // Of one direction, or opposite ones, there is no arc between them.
  const double of_a = sine > 1e-6 ? std::sin((1 - share) * angle) / sine : 1 - share;
  const double of_b = sine > 1e-6 ? std::sin(share * angle) / sine : share;
  for (size_t i = 0; i < a.size(); ++i) {
    between[i] = static_cast<float>(of_a * a[i] + of_b * b[i]);
  }
}

void FillClass(int64_t which, std::span<float> out) {
  std::ranges::fill(out, 0.0f);
  out[static_cast<size_t>(which)] = 1;
}

image::Image PictureOf(const float* drawing, const data::Preprocessing& preprocessing) {
  const Shape& shape = preprocessing.image;
  image::Image picture{shape[0], shape[1], shape[2],
                       std::vector<uint8_t>(static_cast<size_t>(shape.elements()))};
  const int64_t plane = shape[1] * shape[2];
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const auto channel = static_cast<size_t>(i / plane);
    const float mean = preprocessing.pixel_mean.empty() ? 0 : preprocessing.pixel_mean[channel];
    const float std = preprocessing.pixel_std.empty() ? 1 : preprocessing.pixel_std[channel];
    const float byte = (drawing[i] * std + mean) / preprocessing.pixel_scale;
    picture.pixels[static_cast<size_t>(i)] =
        static_cast<uint8_t>(std::lround(std::clamp(byte, 0.0f, 255.0f)));
  }
  return picture;
}

absl::StatusOr<std::string> GridPng(std::span<const image::Image> pictures, int64_t columns) {
  HONE_ASSIGN_OR_RETURN(const image::Image grid, image::Grid(pictures, columns));
  return image::EncodePng(grid);
}

double VarianceOf(std::span<const float> pictures, int64_t count) {
  const auto size = static_cast<int64_t>(pictures.size()) / std::max<int64_t>(count, 1);
  double sum = 0;
  for (int64_t i = 0; i < size; ++i) {
    double mean = 0, squares = 0;
    for (int64_t k = 0; k < count; ++k) {
      mean += pictures[static_cast<size_t>(k * size + i)];
    }
    mean /= static_cast<double>(count);
    for (int64_t k = 0; k < count; ++k) {
      const double d = pictures[static_cast<size_t>(k * size + i)] - mean;
      squares += d * d;
    }
    sum += squares / static_cast<double>(count);
  }
  return sum;
}

}  // namespace hone::engine::tasks
