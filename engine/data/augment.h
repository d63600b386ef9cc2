#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace hone::engine::data {

// Random changes of a training picture. Zero or false: not done.
struct Augmentation {
  float shift = 0;  // by up to this share of width and height, whole pixels, black behind; [0, 1)
  bool horizontal_flip = false;  // half of the pictures
  float rotate_degrees = 0;      // by up to this angle to either side, bilinear, black behind
  int64_t crop_padding =
      0;  // padded by so many black pixels on each side, then cropped at random to the old size
  float erase_probability = 0;  // a rectangle of up to a third of the sides set to grey
  float brightness = 0;         // pixels × (1 ± this)
  float contrast = 0;           // distance to mid-grey × (1 ± this)

  bool any() const {
    return shift > 0 || horizontal_flip || rotate_degrees > 0 || crop_padding > 0 ||
           erase_probability > 0 || brightness > 0 || contrast > 0;
  }
};

// Names the random numbers of one picture in one epoch: the result depends on nothing else.
struct AugmentKey {
  uint64_t seed = 1;
  int64_t epoch = 0;
  int64_t row = 0;  // of the data set
};

// Writes the changed picture; `in` and `out` are u8[C, H, W] and must not overlap. Allocates
// nothing.
void Augment(const Augmentation& augmentation, const AugmentKey& key, const uint8_t* in,
             const Shape& shape, uint8_t* out);

}  // namespace hone::engine::data
