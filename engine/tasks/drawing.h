#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/preprocessing.h"
#include "engine/image/image.h"

namespace hone::engine::tasks {

// What a program that draws reads: random numbers f32 [batch, latent] and, of a model that draws by
// class, a 1 for each drawing's class among zeros, f32 [batch, classes].
inline constexpr char kNoiseInput[] = "noise";
inline constexpr char kClassesInput[] = "classes";

// The random numbers of drawing number `number` of a seed: standard normal, the same wherever they
// are made. `noise` has as many as the model reads.
void FillNoise(uint64_t seed, int64_t number, std::span<float> noise);

// Between two drawings' numbers, `share` of the way from a to b along the arc (White 2016,
// "Sampling Generative Networks"): numbers on the straight line are shorter than the model knows
// them.
void Interpolate(std::span<const float> a, std::span<const float> b, double share,
                 std::span<float> between);

// A class of `classes` as 1 among zeros; out has that many numbers.
void FillClass(int64_t which, std::span<float> out);

// A drawing, the model's numbers [channels, height, width], as bytes: the way back from what a step
// makes of pixels (Preprocessing::image), rounded, and cut to 0 and 255.
image::Image PictureOf(const float* drawing, const data::Preprocessing& preprocessing);

// A PNG file of the pictures, `columns` of them in a row.
absl::StatusOr<std::string> GridPng(std::span<const image::Image> pictures, int64_t columns);

// How different pictures are from each other: the sum over all pixels of their variance, which is
// half of the mean squared distance of two of them. [count, size], row major.
double VarianceOf(std::span<const float> pictures, int64_t count);

// The rule by which a generator has collapsed: at the end of the training its drawings are less
// than kLeastVariety times as different from each other as the data's pictures, or at an epoch's
// end less than kNoVariety times; early drawings are still alike. Drawings as different as those
// have 1; those of one class of digits among ten about 0.5; one picture over and over, 0.
inline constexpr double kLeastVariety = 0.25, kNoVariety = 0.05;

}  // namespace hone::engine::tasks
