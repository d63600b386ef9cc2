#pragma once

#include <string>

#include "engine/layers/dense.h"

namespace hone::engine::layers {

struct EmbeddingOptions {
  std::string name = {};
  bool frozen = false;
  int64_t rows = 0;   // of the table
  int64_t width = 0;  // of a row
  WeightInitializer initializer = {.kind = Initializer::Kind::kNormal, .stddev = 0.05f};
};

// [batch, …] of s32, each at least 0 and below `rows` → [batch, …, width]: a row of the table
// `NAME.weight` [rows, width] for each. A step costs the rows that a batch reads, not the table
// (engine/README.md, "Gradients of tables").
Value Embedding(Graph& graph, Value index, const EmbeddingOptions& options);

}  // namespace hone::engine::layers
