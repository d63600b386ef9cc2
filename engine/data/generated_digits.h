#pragma once

#include <cstdint>

#include "engine/data/dataset.h"

namespace hone::engine::data {

// Digits drawn by a program: strokes on 28x28 grey pixels, bent by an affine and an elastic
// distortion, with noise and specks. Ten classes in equal shares. The same (seed, count) gives the
// same bytes; example i does not depend on count.
struct GeneratedDigitsOptions {
  int64_t count = 60000;
  uint64_t seed = 1;
};
DatasetParts GenerateDigits(const GeneratedDigitsOptions& options);

}  // namespace hone::engine::data
