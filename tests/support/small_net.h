#pragma once

#include <string>
#include <vector>

#include "engine/ops/activation.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/dropout.h"
#include "engine/ops/linear.h"
#include "engine/ops/pool2d.h"
#include "engine/ops/reshape.h"
#include "tests/support/bound_program.h"

namespace hone::engine::testing {

inline constexpr int64_t kClasses = 10;

// A small convolutional net of pictures x [batch, 1, 16, 16] and labels y [batch], and its loss.
struct Net {
  Graph graph;
  Value logits;
  Loss loss;
  std::vector<Value> parameters;

  explicit Net(int64_t batch, bool with_dropout = false) {
    Value x = graph.Input("x", {Shape{batch, 1, 16, 16}, DType::kF32});
    x = Block(x, "conv1", 1, 17);
    x = Block(x, "conv2", 17, 16);
    x = Flatten(graph, x);
    graph.set_scope("dropout");
    x = with_dropout ? Dropout(graph, x, 0.5f) : x;
    graph.set_scope("dense");
    const Value weight = Parameter("dense.weight", {64, kClasses}, 64);
    logits = Linear(graph, x, weight, Parameter("dense.bias", {kClasses}, kClasses));
    graph.set_scope("loss");
    loss = CrossEntropy(graph, logits, graph.Input("y", {Shape{batch}, DType::kS32}), {});
  }

  Value Block(Value x, const std::string& name, int64_t in, int64_t out) {
    graph.set_scope(name);
    const Value weight = Parameter(name + ".weight", {out, in, 3, 3}, 9.0 * in);
    x = Conv2d(graph, x, weight, Parameter(name + ".bias", {out}, out), {});
    return MaxPool2d(graph, Relu(graph, x), {});
  }

  Value Parameter(const std::string& name, const Shape& shape, double fan_in) {
    ParameterSpec spec;
    spec.name = name;
    spec.shape = shape;
    spec.initializer = {.kind = Initializer::Kind::kKaimingUniform, .fan_in = fan_in};
    parameters.push_back(graph.Parameter(spec));
    return parameters.back();
  }

  ProgramRequest Training(const ParameterStore& store) {
    ProgramRequest request;
    request.graph = &graph;
    request.fetch = {loss.sum, loss.weight, loss.correct};
    const std::vector<Value> gradients = Differentiate(graph, loss.sum, parameters);
    for (size_t i = 0; i < gradients.size(); ++i) {
      request.gradients.emplace_back(gradients[i],
                                     *store.Find(graph.node(parameters[i].node).parameter.name));
    }
    return request;
  }
  ProgramRequest Prediction() const {
    ProgramRequest request;
    request.graph = &graph;
    request.fetch = {logits};
    return request;
  }
};

// Examples begin … end of an endless list.
inline void GiveExamples(const Program& program, int64_t begin, int64_t end) {
  std::vector<float> x;
  std::vector<int32_t> y;
  for (int64_t i = begin; i < end; ++i) {
    const std::vector<float> picture = RandomNumbers(256, static_cast<uint64_t>(i));
    x.insert(x.end(), picture.begin(), picture.end());
    y.push_back(static_cast<int32_t>(i * 7 % kClasses));
  }
  Give(program, "x", x);
  if (program.input("y") != nullptr) {
    Give(program, "y", y);
  }
}

inline std::vector<float> Slab(ParameterStore& store, int shard) {
  const float* slab = store.gradient_slab(shard);
  return {slab, slab + store.trainable_slab_size()};
}

inline std::vector<float> Fetched(const Program& program, int64_t count) {
  const auto* values = static_cast<const float*>(program.fetched(0));
  return {values, values + count};
}

}  // namespace hone::engine::testing
