#include "engine/ops/token_cross_entropy.h"

#include <optional>
#include <utility>
#include <vector>

#include "engine/graph/sum.h"
#include "engine/ops/full.h"
#include "engine/ops/linear.h"
#include "engine/ops/reshape.h"
#include "engine/ops/row_cross_entropy.h"
#include "engine/ops/scan.h"

namespace hone::engine {
namespace {

constexpr int64_t kFewestRows = 16;

// Into how many equal parts the rows go; 1: they stay together.
int64_t PartsOf(int64_t rows, int64_t classes, int64_t most_logits) {
  for (int64_t parts = 1; rows / parts >= kFewestRows; ++parts) {
    if (rows % parts == 0 && SaturatingProduct(rows / parts, classes) <= most_logits) {
      return parts;
    }
  }
  return 1;
}

// Logits that are made for some rows at a time.
struct Parts {
  LinearInputs product;  // that gives them
  int64_t count = 0;
  int64_t rows = 0;  // of each
};

// None: they stay together.
std::optional<Parts> PartsOfLogits(const Graph& graph, Value logits, const ChunkOptions& chunks) {
  const Shape& shape = graph.shape(logits);
  const std::optional<LinearInputs> product = LinearBehind(graph, logits);
  const bool many = shape.rank() == 2 && shape.elements() > chunks.most_logits;
  const int64_t count =
      many && product.has_value() ? PartsOf(shape[0], shape[1], chunks.chunk_logits) : 1;
  if (count == 1 || graph.shape(product->x).rank() != 2) {
    return std::nullopt;
  }
  return Parts{.product = *product, .count = count, .rows = shape[0] / count};
}

// What a body reads at each step: the product's rows and their labels, its weight and bias.
ScanInputs InputsOf(Graph& graph, const Parts& parts, Value labels) {
  const Value x = parts.product.x;
  ScanInputs inputs;
  inputs.sequences = {Reshape(graph, x, {parts.count, parts.rows, graph.shape(x)[1]}),
                      Reshape(graph, labels, {parts.count, parts.rows})};
  inputs.constants = {parts.product.weight};
  if (parts.product.bias.has_value()) {
    inputs.constants.push_back(*parts.product.bias);
  }
  return inputs;
}

// The logits of a step.
Value LogitsOf(Graph& of_part, const Parts& parts, const ScanStep& step) {
  const std::optional<Value> bias =
      step.constants.size() > 1 ? std::optional(step.constants[1]) : std::nullopt;
  return Linear(of_part, step.sequences[0], step.constants[0], bias,
                {.transposed = parts.product.transposed});
}

}  // namespace

Loss TokenCrossEntropy(Graph& graph, Value logits, Value labels, const CrossEntropyOptions& options,
                       const ChunkOptions& chunks) {
  const std::optional<Parts> parts = PartsOfLogits(graph, logits, chunks);
  if (!parts.has_value()) {
    return CrossEntropy(graph, logits, labels, options);
  }
  ScanInputs inputs = InputsOf(graph, *parts, labels);
  for (int sum = 0; sum < 3; ++sum) {
    inputs.carries.push_back(Full(graph, Shape{}, 0));
  }
  const auto body = [&](Graph& of_part, const ScanStep& step) {
    const Loss loss =
        CrossEntropy(of_part, LogitsOf(of_part, *parts, step), step.sequences[1], options);
    return ScanStepResult{.carries = {Sum(of_part, step.carries[0], loss.sum),
                                      Sum(of_part, step.carries[1], loss.weight),
                                      Sum(of_part, step.carries[2], loss.correct)},
                          .outputs = {}};
  };
  const ScanResult result = Scan(graph, inputs, {.steps = parts->count}, body);
  return {result.carries[0], result.carries[1], result.carries[2]};
}

Value TokenLosses(Graph& graph, Value logits, Value labels, const ChunkOptions& chunks) {
  const std::optional<Parts> parts = PartsOfLogits(graph, logits, chunks);
  if (!parts.has_value()) {
    return RowCrossEntropy(graph, logits, labels);
  }
  const auto body = [&](Graph& of_part, const ScanStep& step) {
    return ScanStepResult{
        .carries = {},
        .outputs = {RowCrossEntropy(of_part, LogitsOf(of_part, *parts, step), step.sequences[1])}};
  };
  const ScanResult result =
      Scan(graph, InputsOf(graph, *parts, labels), {.steps = parts->count}, body);
  return Reshape(graph, result.outputs[0], {parts->count * parts->rows});
}

}  // namespace hone::engine
