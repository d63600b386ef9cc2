#pragma once

#include <optional>

#include "engine/graph/graph.h"

namespace hone::engine {

struct LinearOptions {
  bool transposed = false;  // the weight is [out, in], as in Hugging Face's files
};

// y[…, out] = x[…, in] · w[in, out] + b[out]. All dimensions of x but the last are rows. Either
// form of the weight is read where it lies when computing in f32: a table of rows [out, in] may be
// the output layer, too (Press and Wolf, "Using the Output Embedding to Improve Language Models",
// 2017).
Value Linear(Graph& graph, Value x, Value weight, std::optional<Value> bias,
             const LinearOptions& options = {});

// What a Linear is made of.
struct LinearInputs {
  Value x;
  Value weight;
  std::optional<Value> bias;
  bool transposed = false;
};
// Of the value that one gives; nullopt of any other.
std::optional<LinearInputs> LinearBehind(const Graph& graph, Value y);

}  // namespace hone::engine
