#pragma once

#include <string>

#include "engine/layers/activation.h"

namespace hone::engine::layers {

// How a layer's weights start; the layer itself knows the fans.
struct WeightInitializer {
  Initializer::Kind kind = Initializer::Kind::kGlorotUniform;
  float stddev = 0.05f;  // of kNormal
};

struct DenseOptions {
  std::string name;
  bool frozen = false;
  int64_t units = 0;
  ActivationKind activation = ActivationKind::kNone;
  bool use_bias = true;
  WeightInitializer initializer;
  bool transposed = false;  // the weight is [units, in], as in Hugging Face's files
};

// [batch, …, in] → [batch, …, units]: f(x · weight + bias), `NAME.weight` [in, units] and
// `NAME.bias` [units].
Value Dense(Graph& graph, Value x, const DenseOptions& options);

}  // namespace hone::engine::layers
