#pragma once

#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace hone::engine::models {

enum class LayerRole { kInput, kHidden, kOutput };

// One row of the layer table.
struct LayerSummary {
  std::string name;  // the path of its scope: "encoder.layer.3.attention"
  std::string kind = {};
  LayerRole role = LayerRole::kHidden;
  Shape output_shape = {};  // of one example
  int64_t weights = 0;
  int64_t biases = 0;
  bool trainable = false;  // has weights, and they are learned
  double share = 0;        // of all parameters
  std::vector<std::string> inputs = {};
  double forward_flops = 0;  // for one example
  // ReLU follows its weights, in it or as the one node that reads it: a unit is dead whose bias,
  // or whose weights where there is no bias, have no gradient.
  bool shows_dead_units = false;
};

// What a graph's scopes say of its layers.
struct LayerTable {
  // First the graph's inputs that a layer reads, then its layers (Graph::layers), and then each
  // scope that declares parameters and lies in no layer. A row has what is in its scope and in no
  // row within. The output rows are those that give something and that no other row reads. Numbers
  // by which tokens are chosen are not read.
  std::vector<LayerSummary> rows;
  // By node: rows with weights from the inputs to here, along the longest path.
  std::vector<int> depths;
};

// Of a graph without its gradients. `batch` is the number of its examples.
LayerTable TableOf(const Graph& graph, int64_t batch);

// The row that a scope belongs to: its own, or that of the nearest scope around it; -1: none.
int RowOf(const std::vector<LayerSummary>& rows, absl::string_view scope);

// Each row's share of all their parameters.
void SetShares(std::vector<LayerSummary>& rows);

}  // namespace hone::engine::models
