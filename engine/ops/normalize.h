#pragma once

#include <vector>

#include "engine/graph/graph.h"

namespace hone::engine {

// Bytes of pictures [batch, channels, height, width] to numbers: (x · scale − mean[c]) / std[c].
// Pictures stay bytes until this step of the program. Empty mean and std: 0 and 1.
struct PixelScaling {
  float scale = 1.0f / 255;
  std::vector<float> mean;
  std::vector<float> std;
};
Value NormalizePixels(Graph& graph, Value bytes, const PixelScaling& scaling);

}  // namespace hone::engine
