#include "engine/ops/token_cross_entropy.h"

#include <optional>
#include <utility>
#include <vector>

#include "engine/graph/sum.h"
#include "engine/ops/full.h"
#include "engine/ops/linear.h"
#include "engine/ops/reshape.h"
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

}  // namespace

Loss TokenCrossEntropy(Graph& graph, Value logits, Value labels, const CrossEntropyOptions& options,
                       const ChunkOptions& chunks) {
  const Shape& shape = graph.shape(logits);
  const std::optional<LinearInputs> product = LinearBehind(graph, logits);
  const bool many = shape.rank() == 2 && shape.elements() > chunks.most_logits;
  const int64_t parts =
      many && product.has_value() ? PartsOf(shape[0], shape[1], chunks.chunk_logits) : 1;
  if (parts == 1 || graph.shape(product->x).rank() != 2) {
    return CrossEntropy(graph, logits, labels, options);
  }
  const int64_t rows = shape[0] / parts;
  ScanInputs inputs;
  for (int sum = 0; sum < 3; ++sum) {
    inputs.carries.push_back(Full(graph, Shape{}, 0));
  }
  inputs.sequences = {Reshape(graph, product->x, {parts, rows, graph.shape(product->x)[1]}),
                      Reshape(graph, labels, {parts, rows})};
  inputs.constants = {product->weight};
  if (product->bias.has_value()) {
    inputs.constants.push_back(*product->bias);
  }
  const auto body = [&](Graph& of_part, const ScanStep& step) {
    const std::optional<Value> bias =
        step.constants.size() > 1 ? std::optional(step.constants[1]) : std::nullopt;
    const Value part = Linear(of_part, step.sequences[0], step.constants[0], bias,
                              {.transposed = product->transposed});
    const Loss loss = CrossEntropy(of_part, part, step.sequences[1], options);
    return ScanStepResult{.carries = {Sum(of_part, step.carries[0], loss.sum),
                                      Sum(of_part, step.carries[1], loss.weight),
                                      Sum(of_part, step.carries[2], loss.correct)},
                          .outputs = {}};
  };
  const ScanResult result = Scan(graph, inputs, {.steps = parts}, body);
  return {result.carries[0], result.carries[1], result.carries[2]};
}

}  // namespace hone::engine
