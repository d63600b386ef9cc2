#include "engine/models/build.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/layers/normalization.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/concat.h"
#include "engine/ops/pool2d.h"
#include "engine/ops/reshape.h"

namespace hone::engine::models {
namespace {

using layers::ActivationKind;

Shape OfOneExample(const Shape& shape) {
  return Shape(std::vector<int64_t>(shape.dims().begin() + 1, shape.dims().end()));
}

// Every extent is the other's or 1.
bool IsRepeatedTo(const Shape& small, const Shape& large) {
  bool fits = small.rank() == large.rank();
  for (int d = 0; fits && d < small.rank(); ++d) {
    fits = small[d] == large[d] || small[d] == 1;
  }
  return fits;
}

bool IsFinalFunction(ActivationKind kind) {
  return kind == ActivationKind::kSoftmax || kind == ActivationKind::kSigmoid;
}

// Adds one layer of each kind.
class LayerBuilder {
 public:
  LayerBuilder(Graph& graph, const LayerDescription& layer, std::vector<Value> inputs,
               const BuildOptions& options, bool last)
      : graph_(graph),
        layer_(layer),
        inputs_(std::move(inputs)),
        options_(options),
        drop_final_(options.logits && last) {}

  // The function that the layer ends with.
  ActivationKind final_function() const { return final_; }

  Value operator()(layers::DenseOptions dense) {
    dense.name = layer_.name;
    dense.frozen = layer_.frozen;
    dense.activation = Final(dense.activation);
    return layers::Dense(graph_, x(), dense);
  }
  Value operator()(layers::Conv2dOptions conv) {
    conv.name = layer_.name;
    conv.frozen = layer_.frozen;
    conv.activation = Final(conv.activation);
    return layers::Conv2d(graph_, x(), conv);
  }
  Value operator()(MaxPool2d pool) {
    pool.name = layer_.name;
    return layers::MaxPool2d(graph_, x(), pool);
  }
  Value operator()(AvgPool2d pool) {
    pool.name = layer_.name;
    return layers::AvgPool2d(graph_, x(), pool);
  }
  Value operator()(const GlobalAvgPool2d&) { return GlobalAveragePool2d(graph_, x()); }
  Value operator()(const GlobalMaxPool2d&) { return engine::GlobalMaxPool2d(graph_, x()); }
  Value operator()(const BatchNorm& norm) {
    return layers::BatchNorm(graph_, x(),
                             {.name = layer_.name,
                              .frozen = layer_.frozen,
                              .momentum = norm.momentum,
                              .epsilon = norm.epsilon,
                              .activation = Final(norm.activation)},
                             options_.training);
  }
  Value operator()(const LayerNorm& norm) {
    return layers::LayerNorm(
        graph_, x(), {.name = layer_.name, .frozen = layer_.frozen, .epsilon = norm.epsilon});
  }
  Value operator()(const Dropout& dropout) {
    return layers::Dropout(graph_, x(), {.name = layer_.name, .rate = dropout.rate},
                           options_.training);
  }
  Value operator()(const Activation& activation) {
    return layers::Activate(graph_, x(), Final(activation.function), activation.negative_slope);
  }
  Value operator()(const Flatten&) { return engine::Flatten(graph_, x()); }
  Value operator()(const Reshape& reshape) {
    std::vector<int64_t> dims = {graph_.shape(x())[0]};
    dims.insert(dims.end(), reshape.shape.begin(), reshape.shape.end());
    const int64_t elements = OfOneExample(graph_.shape(x())).elements();
    int64_t known = 1;
    for (const int64_t extent : reshape.shape) {
      known = SaturatingProduct(known, extent == -1 ? 1 : extent);
    }
    std::ranges::replace(dims, int64_t{-1}, known > 0 ? elements / known : 0);
    const Shape shape(std::move(dims));
    if (OfOneExample(shape).elements() != elements) {
      return graph_.Fail(absl::InvalidArgumentError(absl::StrCat(
          layer_.name, ": shape must have ", elements, " elements as its input ",
          OfOneExample(graph_.shape(x())).ToString(), ", got ", OfOneExample(shape).ToString())));
    }
    return engine::Reshape(graph_, x(), shape);
  }
  Value operator()(const Add& add) {
    Value sum = inputs_[0];
    for (size_t i = 1; i < inputs_.size(); ++i) {
      const Shape a = graph_.shape(sum), b = graph_.shape(inputs_[i]);
      if (IsRepeatedTo(b, a)) {
        sum = AddBroadcast(graph_, sum, inputs_[i]);
      } else if (IsRepeatedTo(a, b)) {
        sum = AddBroadcast(graph_, inputs_[i], sum);
      } else {
        return graph_.Fail(absl::InvalidArgumentError(
            absl::StrCat(layer_.name, ": its inputs must have one shape, or extents of 1, got ",
                         OfOneExample(a).ToString(), " and ", OfOneExample(b).ToString(), " (",
                         layer_.inputs[i], ")")));
      }
    }
    return layers::Activate(graph_, sum, Final(add.activation));
  }
  Value operator()(const Concat&) { return engine::Concat(graph_, inputs_); }

 private:
  Value x() const { return inputs_[0]; }
  ActivationKind Final(ActivationKind kind) {
    final_ = drop_final_ && IsFinalFunction(kind) ? ActivationKind::kNone : kind;
    return final_;
  }

  Graph& graph_;
  const LayerDescription& layer_;
  std::vector<Value> inputs_;
  const BuildOptions& options_;
  bool drop_final_;
  ActivationKind final_ = ActivationKind::kNone;
};

struct Built {
  Value value;
  int depth = 0;  // layers with weights up to here
};

// Counts what the nodes from `first` on brought.
void Count(const Graph& graph, size_t first, LayerSummary& summary) {
  double flops = 0;
  for (size_t i = first; i < graph.nodes().size(); ++i) {
    const Graph::Node& node = graph.nodes()[i];
    if (node.kind == Graph::Node::Kind::kOp) {
      std::vector<TensorType> in;
      for (const Value value : node.inputs) {
        in.push_back(graph.type(value));
      }
      flops += node.op->EstimateCost(in, node.types).flops;
    } else if (node.kind == Graph::Node::Kind::kParameter &&
               node.parameter.role != ParameterRole::kBuffer) {
      const bool bias = absl::EndsWith(node.parameter.name, ".bias");
      int64_t& count = bias ? summary.biases : summary.weights;
      count = SaturatingSum(count, node.parameter.shape.elements());
      summary.trainable = summary.trainable || node.parameter.role == ParameterRole::kTrainable;
    }
  }
  summary.forward_flops = flops;
}

// "model.layers[3] (conv2d_2): …", whatever the layer's own function put before.
absl::Status LayerError(const absl::Status& status, size_t index, absl::string_view name) {
  absl::string_view message = status.message();
  while (absl::ConsumePrefix(&message, absl::StrCat(name, ": "))) {
  }
  return absl::Status(status.code(),
                      absl::StrCat("model.layers[", index, "] (", name, "): ", message));
}

void MarkDeadUnits(const std::vector<ActivationKind>& functions,
                   std::vector<LayerSummary>& layers) {
  absl::flat_hash_map<std::string, std::vector<size_t>> readers;
  for (size_t i = 0; i < layers.size(); ++i) {
    for (const std::string& name : layers[i].inputs) {
      readers[name].push_back(i);
    }
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    ActivationKind function = functions[i];
    const std::vector<size_t>& by = readers[layers[i].name];
    if (function == ActivationKind::kNone && by.size() == 1 &&
        layers[by[0]].kind == NameOf(LayerKind(Activation{}))) {
      function = functions[by[0]];
    }
    layers[i].shows_dead_units = layers[i].weights > 0 && function == ActivationKind::kRelu;
  }
}

void SetShares(std::vector<LayerSummary>& summaries) {
  const auto parameters = [](const LayerSummary& summary) {
    return static_cast<double>(summary.weights) + static_cast<double>(summary.biases);
  };
  double total = 0;
  for (const LayerSummary& summary : summaries) {
    total += parameters(summary);
  }
  for (LayerSummary& summary : summaries) {
    summary.share = total > 0 ? parameters(summary) / total : 0;
  }
}

}  // namespace

absl::StatusOr<BuiltModel> BuildModel(Graph& graph, const ModelDescription& description,
                                      Value input, const BuildOptions& options) {
  HONE_RETURN_IF_ERROR(graph.status());
  HONE_ASSIGN_OR_RETURN(const ModelDescription model, WithNames(description));
  BuiltModel built;
  const auto batch = static_cast<double>(graph.shape(input)[0]);
  built.layers.push_back({.name = "input",
                          .kind = "input",
                          .role = LayerRole::kInput,
                          .output_shape = OfOneExample(graph.shape(input)),
                          .inputs = {}});
  absl::flat_hash_map<std::string, Built> by_name = {{"input", {input, 0}}};
  std::string before = "input";
  std::vector<ActivationKind> functions = {ActivationKind::kNone};  // of each of built.layers
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const LayerDescription& layer = model.layers[i];
    LayerSummary summary;
    summary.name = layer.name;
    summary.kind = std::string(NameOf(layer.kind));
    summary.inputs = layer.inputs.empty() ? std::vector<std::string>{before} : layer.inputs;
    std::vector<Value> values;
    int depth = 0;
    for (const std::string& name : summary.inputs) {
      values.push_back(by_name.at(name).value);
      depth = std::max(depth, by_name.at(name).depth);
    }
    const size_t first = graph.nodes().size();
    const bool last = i + 1 == model.layers.size();
    graph.set_scope(layer.name);
    LayerBuilder builder(graph, layer, std::move(values), options, last);
    const Value value = std::visit(builder, layer.kind);
    if (!graph.status().ok()) {
      return LayerError(graph.status(), i, layer.name);
    }
    Count(graph, first, summary);
    summary.forward_flops /= batch;
    summary.role = last ? LayerRole::kOutput : LayerRole::kHidden;
    summary.output_shape = OfOneExample(graph.shape(value));
    functions.push_back(builder.final_function());
    depth += summary.weights > 0 ? 1 : 0;
    built.needs_batch_statistics = built.needs_batch_statistics ||
                                   (std::holds_alternative<BatchNorm>(layer.kind) && !layer.frozen);
    by_name[layer.name] = {value, depth};
    before = layer.name;
    built.output = value;
    built.depth = depth;
    built.layers.push_back(std::move(summary));
  }
  graph.set_scope("");
  MarkDeadUnits(functions, built.layers);
  SetShares(built.layers);
  return built;
}

}  // namespace hone::engine::models
