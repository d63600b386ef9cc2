#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/models/model_description.h"

namespace hone::engine::models {

enum class LayerRole { kInput, kHidden, kOutput };

// One row of the layer table.
struct LayerSummary {
  std::string name;
  std::string kind;
  LayerRole role = LayerRole::kHidden;
  Shape output_shape;  // of one example
  int64_t weights = 0;
  int64_t biases = 0;
  bool trainable = false;  // has weights, and they are learned
  double share = 0;        // of all parameters
  std::vector<std::string> inputs;
  double forward_flops = 0;  // for one example
  // ReLU follows its weights, in it or as the one layer that reads it: a unit is dead whose bias,
  // or whose weights where there is no bias, have no gradient.
  bool shows_dead_units = false;
};

struct BuildOptions {
  bool training = false;  // dropout and batch statistics
  // Leaves out a softmax or sigmoid of the last layer: losses want logits.
  bool logits = false;
};

struct BuiltModel {
  Value output;
  std::vector<LayerSummary> layers;  // the first is the input
  // Layers with weights from the input to the output, along the longest path.
  int depth = 0;
  // A layer computes with statistics over the whole batch while it trains.
  bool needs_batch_statistics = false;
};

// Adds the network to the graph behind `input` [batch, …]. Errors name the layer:
// "model.layers[3] (conv2d_2): …". The graph is broken after an error.
absl::StatusOr<BuiltModel> BuildModel(Graph& graph, const ModelDescription& description,
                                      Value input, const BuildOptions& options);

}  // namespace hone::engine::models
