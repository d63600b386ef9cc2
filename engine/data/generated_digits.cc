#include "engine/data/generated_digits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"

namespace hone::engine::data {
namespace {

constexpr int kSide = 28;
constexpr int kPixels = kSide * kSide;

struct Point {
  float x;
  float y;
};

struct Stroke {
  bool curved;  // through its points by Catmull and Rom's spline, else straight from point to point
  std::vector<Point> points;
};

// The ways people write each digit, in a unit square with y downwards.
using Glyph = std::vector<Stroke>;
const std::array<std::vector<Glyph>, 10>& Glyphs() {
  static const auto& glyphs = *new std::array<std::vector<Glyph>, 10>{{
      {{{true,
         {{.5f, .04f},
          {.25f, .2f},
          {.2f, .55f},
          {.3f, .88f},
          {.5f, .96f},
          {.72f, .85f},
          {.8f, .5f},
          {.73f, .17f},
          {.5f, .04f}}}}},
      {{{false, {{.5f, .04f}, {.5f, .96f}}}},
       {{false, {{.3f, .25f}, {.54f, .05f}, {.54f, .95f}}}},
       {{false, {{.3f, .25f}, {.52f, .05f}, {.52f, .95f}}}, {false, {{.3f, .95f}, {.74f, .95f}}}}},
      {{{true, {{.2f, .26f}, {.34f, .08f}, {.64f, .07f}, {.78f, .28f}, {.6f, .56f}, {.2f, .93f}}},
        {false, {{.2f, .93f}, {.8f, .93f}}}},
       {{true,
         {{.22f, .2f},
          {.5f, .04f},
          {.74f, .24f},
          {.55f, .6f},
          {.25f, .9f},
          {.2f, .75f},
          {.45f, .82f},
          {.82f, .94f}}}}},
      {{{true, {{.22f, .15f}, {.5f, .04f}, {.75f, .2f}, {.65f, .42f}, {.42f, .48f}}},
        {true, {{.42f, .48f}, {.72f, .56f}, {.78f, .78f}, {.5f, .96f}, {.2f, .85f}}}},
       {{false, {{.22f, .06f}, {.74f, .06f}, {.45f, .4f}}},
        {true, {{.45f, .4f}, {.74f, .52f}, {.76f, .8f}, {.48f, .96f}, {.2f, .84f}}}}},
      {{{false, {{.6f, .05f}, {.18f, .65f}, {.85f, .65f}}}, {false, {{.62f, .35f}, {.62f, .96f}}}},
       {{false, {{.27f, .06f}, {.22f, .52f}, {.76f, .5f}}}, {false, {{.76f, .05f}, {.7f, .96f}}}}},
      {{{false, {{.76f, .06f}, {.3f, .06f}, {.26f, .44f}}},
        {true, {{.26f, .44f}, {.55f, .38f}, {.78f, .6f}, {.65f, .9f}, {.36f, .96f}, {.2f, .86f}}}}},
      {{{true,
         {{.68f, .06f},
          {.4f, .25f},
          {.22f, .6f},
          {.3f, .9f},
          {.55f, .96f},
          {.76f, .78f},
          {.62f, .55f},
          {.38f, .55f},
          {.24f, .7f}}}}},
      {{{false, {{.2f, .07f}, {.8f, .07f}, {.45f, .95f}}}},
       {{false, {{.2f, .07f}, {.8f, .07f}, {.42f, .95f}}}, {false, {{.36f, .5f}, {.74f, .5f}}}}},
      {{{true,
         {{.5f, .5f},
          {.25f, .3f},
          {.4f, .05f},
          {.65f, .08f},
          {.74f, .28f},
          {.5f, .5f},
          {.24f, .72f},
          {.38f, .95f},
          {.65f, .94f},
          {.77f, .72f},
          {.5f, .5f}}}}},
      {{{true,
         {{.74f, .3f},
          {.6f, .06f},
          {.35f, .07f},
          {.24f, .3f},
          {.4f, .5f},
          {.64f, .46f},
          {.74f, .3f},
          {.72f, .6f},
          {.6f, .95f}}}},
       {{true,
         {{.74f, .28f}, {.55f, .05f}, {.28f, .15f}, {.28f, .42f}, {.55f, .52f}, {.74f, .28f}}},
        {false, {{.75f, .28f}, {.7f, .95f}}}}},
  }};
  return glyphs;
}

// From the unit square to pixels: rotated, sheared, scaled and moved, then bent by two slow waves
// in each direction (the elastic part).
class Distortion {
 public:
  explicit Distortion(RandomStream& stream) {
    const float angle = stream.NextUniform(-0.3f, 0.3f);
    const float shear = stream.NextUniform(-0.35f, 0.35f);
    const float width = stream.NextUniform(10.0f, 19.0f);
    const float height = stream.NextUniform(15.0f, 21.0f);
    xx_ = width * std::cos(angle);
    xy_ = -height * std::sin(angle) + shear * height * std::cos(angle);
    yx_ = width * std::sin(angle);
    yy_ = height * std::cos(angle) + shear * height * std::sin(angle);
    dx_ = 13.5f + stream.NextUniform(-3.5f, 3.5f);
    dy_ = 13.5f + stream.NextUniform(-3.0f, 3.0f);
    for (Wave& wave : waves_) {
      wave.amplitude = stream.NextUniform(0.0f, 1.3f);
      wave.kx = stream.NextUniform(-5.0f, 5.0f);
      wave.ky = stream.NextUniform(-5.0f, 5.0f);
      wave.phase = stream.NextUniform(0.0f, 2 * std::numbers::pi_v<float>);
    }
  }

  Point operator()(Point p) const {
    const float x = p.x - 0.5f;
    const float y = p.y - 0.5f;
    return {xx_ * x + xy_ * y + dx_ + Bend(waves_[0], x, y) + Bend(waves_[1], x, y),
            yx_ * x + yy_ * y + dy_ + Bend(waves_[2], x, y) + Bend(waves_[3], x, y)};
  }

 private:
  struct Wave {
    float amplitude;
    float kx;
    float ky;
    float phase;
  };
  static float Bend(const Wave& wave, float x, float y) {
    return wave.amplitude * std::sin(wave.kx * x + wave.ky * y + wave.phase);
  }

  float xx_, xy_, yx_, yy_, dx_, dy_;
  std::array<Wave, 4> waves_;
};

using Canvas = std::array<float, kPixels>;

// A line with round ends and soft edges, brightness 0..1; darker pixels are raised, none is
// lowered.
void DrawLine(Point a, Point b, float radius, float ink, Canvas& canvas) {
  const float reach = radius + 1;
  const int left = std::max(0, static_cast<int>(std::floor(std::min(a.x, b.x) - reach)));
  const int right = std::min(kSide - 1, static_cast<int>(std::ceil(std::max(a.x, b.x) + reach)));
  const int top = std::max(0, static_cast<int>(std::floor(std::min(a.y, b.y) - reach)));
  const int bottom = std::min(kSide - 1, static_cast<int>(std::ceil(std::max(a.y, b.y) + reach)));
  const float vx = b.x - a.x;
  const float vy = b.y - a.y;
  const float length = std::max(vx * vx + vy * vy, 1e-6f);
  for (int y = top; y <= bottom; ++y) {
    for (int x = left; x <= right; ++x) {
      const float px = static_cast<float>(x) - a.x;
      const float py = static_cast<float>(y) - a.y;
      const float t = std::clamp((px * vx + py * vy) / length, 0.0f, 1.0f);
      const float distance = std::hypot(px - t * vx, py - t * vy);
      const float value = ink * std::clamp(radius + 0.5f - distance, 0.0f, 1.0f);
      float& pixel = canvas[static_cast<size_t>(y * kSide + x)];
      pixel = std::max(pixel, value);
    }
  }
}

Point Spline(const std::vector<Point>& p, size_t i, float t) {
  const Point a = p[i == 0 ? 0 : i - 1];
  const Point b = p[i];
  const Point c = p[i + 1];
  const Point d = p[std::min(i + 2, p.size() - 1)];
  const auto at = [t](float w, float x, float y, float z) {
    return 0.5f *
           (2 * x + t * (y - w + t * (2 * w - 5 * x + 4 * y - z + t * (3 * x - w - 3 * y + z))));
  };
  return {at(a.x, b.x, c.x, d.x), at(a.y, b.y, c.y, d.y)};
}

void DrawGlyph(const Glyph& glyph, RandomStream& stream, Canvas& canvas) {
  constexpr int kSteps = 5;
  const Distortion distort(stream);
  const float radius = stream.NextUniform(0.55f, 1.5f);
  const float ink = stream.NextUniform(0.65f, 1.0f);
  for (const Stroke& stroke : glyph) {
    std::vector<Point> points = stroke.points;
    for (Point& point : points) {
      point.x += stream.NextUniform(-0.05f, 0.05f);
      point.y += stream.NextUniform(-0.05f, 0.05f);
    }
    for (size_t i = 0; i + 1 < points.size(); ++i) {
      Point from = distort(points[i]);
      for (int s = 1; s <= kSteps; ++s) {
        const float t = static_cast<float>(s) / kSteps;
        const Point on = stroke.curved ? Spline(points, i, t)
                                       : Point{points[i].x + t * (points[i + 1].x - points[i].x),
                                               points[i].y + t * (points[i + 1].y - points[i].y)};
        const Point to = distort(on);
        DrawLine(from, to, radius, ink, canvas);
        from = to;
      }
    }
  }
}

// Fainter scratches that belong to no digit, uneven ink, and specks.
void AddNoise(RandomStream& stream, Canvas& canvas) {
  for (uint64_t scratches = stream.NextBelow(3); scratches > 0; --scratches) {
    const Point a{stream.NextUniform(0, kSide), stream.NextUniform(0, kSide)};
    const Point b{a.x + stream.NextUniform(-6, 6), a.y + stream.NextUniform(-6, 6)};
    DrawLine(a, b, 0.3f, stream.NextUniform(0.2f, 0.6f), canvas);
  }
  for (float& pixel : canvas) {
    const uint32_t bits = stream.NextBits();
    // The difference of two uniform bytes: a triangle of deviation about 0.04.
    const auto wobble =
        static_cast<float>(static_cast<int>(bits & 0xff) - static_cast<int>(bits >> 8 & 0xff));
    pixel += wobble * (0.1f / 255.0f) * (pixel > 0 ? 2.0f : 1.0f);
    if (bits >> 16 < 400) {  // 0.6 % of the pixels
      pixel = ToUnitFloat(bits << 16 | bits >> 16);
    }
  }
}

void DrawDigit(size_t digit, RandomStream& stream, uint8_t* out) {
  Canvas canvas{};
  const std::vector<Glyph>& glyphs = Glyphs()[digit];
  DrawGlyph(glyphs[static_cast<size_t>(stream.NextBelow(glyphs.size()))], stream, canvas);
  AddNoise(stream, canvas);
  for (size_t i = 0; i < kPixels; ++i) {
    out[i] = static_cast<uint8_t>(std::clamp(canvas[i] * 255.0f + 0.5f, 0.0f, 255.0f));
  }
}

}  // namespace

DatasetParts GenerateDigits(const GeneratedDigitsOptions& options) {
  DatasetParts parts;
  parts.size = options.count;
  parts.features = {Shape{1, kSide, kSide}, DType::kU8};
  parts.feature_values = Buffer(options.count * kPixels);
  for (size_t digit = 0; digit < 10; ++digit) {
    parts.class_names.push_back(absl::StrCat(digit));
  }
  for (int64_t i = 0; i < options.count; ++i) {
    RandomStream stream(options.seed, "generated digit", static_cast<uint64_t>(i));
    const auto digit = static_cast<size_t>(i % 10);
    DrawDigit(digit, stream, parts.feature_values.as<uint8_t>() + i * kPixels);
    parts.labels.push_back(static_cast<int32_t>(digit));
  }
  return parts;
}

}  // namespace hone::engine::data
