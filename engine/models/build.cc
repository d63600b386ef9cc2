#include "engine/models/build.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/layers/normalization.h"
#include "engine/layers/product.h"
#include "engine/models/preset_options.h"
#include "engine/models/presets.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/concat.h"
#include "engine/ops/embedding_noise.h"
#include "engine/ops/pool2d.h"
#include "engine/ops/reshape.h"
#include "engine/ops/row_dot.h"
#include "engine/ops/segment_pool.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::models {
namespace {

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
  // `offsets` of the network's sequences, if these are what it reads.
  LayerBuilder(Graph& graph, const LayerDescription& layer, std::vector<Value> inputs,
               std::optional<Value> offsets, const BuildOptions& options, bool last)
      : graph_(graph),
        layer_(layer),
        inputs_(std::move(inputs)),
        offsets_(offsets),
        options_(options),
        last_(last),
        drop_final_(options.logits && last) {}

  // The layer computes with statistics over the whole batch.
  bool uses_batch_statistics() const { return uses_batch_statistics_; }

  // Of texts that are written, the last layer's output for the last token of each.
  Value Last(Value output) {
    return std::holds_alternative<layers::DenseOptions>(layer_.kind) ? output : LastTokens(output);
  }

  Value operator()(layers::DenseOptions dense) {
    dense.name.clear();
    dense.frozen = layer_.frozen;
    dense.activation = Final(dense.activation);
    // Of texts that are written only the last tokens' outputs are wanted: here many may be spared.
    return layers::Dense(graph_, writes() && last_ ? LastTokens(x()) : x(), dense);
  }
  Value operator()(layers::Conv2dOptions conv) {
    conv.name.clear();
    conv.frozen = layer_.frozen;
    conv.activation = Final(conv.activation);
    return layers::Conv2d(graph_, x(), conv);
  }
  Value operator()(Conv2dTranspose conv) {
    conv.name.clear();
    conv.frozen = layer_.frozen;
    conv.activation = Final(conv.activation);
    return layers::Conv2dTranspose(graph_, x(), conv);
  }
  Value operator()(const Upsample2d& upsample) {
    return layers::Upsample2d(graph_, x(), "", upsample.factor);
  }
  Value operator()(MaxPool2d pool) {
    pool.name.clear();
    return layers::MaxPool2d(graph_, x(), pool);
  }
  Value operator()(AvgPool2d pool) {
    pool.name.clear();
    return layers::AvgPool2d(graph_, x(), pool);
  }
  Value operator()(const GlobalAvgPool2d&) { return GlobalAveragePool2d(graph_, x()); }
  Value operator()(const GlobalMaxPool2d&) { return engine::GlobalMaxPool2d(graph_, x()); }
  Value operator()(const BatchNorm& norm) {
    const size_t updates = graph_.updates().size();
    const Value y = layers::BatchNorm(graph_, x(),
                                      {.name = "",
                                       .frozen = layer_.frozen,
                                       .momentum = norm.momentum,
                                       .epsilon = norm.epsilon,
                                       .activation = Final(norm.activation)},
                                      options_.training);
    uses_batch_statistics_ = options_.training ? graph_.updates().size() > updates : !layer_.frozen;
    return y;
  }
  Value operator()(const LayerNorm& norm) {
    return layers::LayerNorm(graph_, x(),
                             {.name = "", .frozen = layer_.frozen, .epsilon = norm.epsilon});
  }
  Value operator()(const Dropout& dropout) {
    return layers::Dropout(graph_, x(), {.name = "", .rate = dropout.rate}, options_.training);
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
          graph_.scope(), ": shape must have ", elements, " elements as its input ",
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
            absl::StrCat(graph_.scope(), ": its inputs must have one shape, or extents of 1, got ",
                         OfOneExample(a).ToString(), " and ", OfOneExample(b).ToString(), " (",
                         layer_.inputs[i], ")")));
      }
    }
    return layers::Activate(graph_, sum, Final(add.activation));
  }
  Value operator()(const Concat&) { return engine::Concat(graph_, inputs_); }
  Value operator()(layers::EmbeddingOptions embedding) {
    embedding.name.clear();
    embedding.frozen = layer_.frozen;
    const Value rows = layers::Embedding(graph_, x(), embedding);
    const bool of_tokens = offsets_.has_value() && graph_.shape(rows).rank() == 2;
    return options_.training && of_tokens
               ? EmbeddingNoise(graph_, rows, *offsets_, graph_.embedding_noise())
               : rows;
  }
  Value operator()(const Dot&) { return RowDot(graph_, inputs_[0], inputs_[1]); }
  Value operator()(const SimpleRnn& rnn) {
    return Recurrent(layers::RecurrentCell::kSimpleRnn, rnn);
  }
  Value operator()(const Lstm& lstm) { return Recurrent(layers::RecurrentCell::kLstm, lstm); }
  Value operator()(const Gru& gru) { return Recurrent(layers::RecurrentCell::kGru, gru); }
  Value operator()(layers::Conv1dOptions conv) {
    conv.name.clear();
    conv.frozen = layer_.frozen;
    conv.activation = Final(conv.activation);
    return ReadsSequences() ? layers::Conv1d(graph_, x(), *offsets_, conv) : x();
  }
  Value operator()(layers::AttentionOptions attention) {
    attention.name.clear();
    attention.frozen = layer_.frozen;
    if (!ReadsOffsets()) {
      return x();
    }
    return writes() ? layers::AttentionOfNewTokens(graph_, x(), options_.new_tokens, attention)
                    : layers::Attention(graph_, x(), *offsets_, attention, options_.training);
  }
  Value operator()(layers::PositionsOptions positions) {
    positions.name.clear();
    positions.frozen = layer_.frozen;
    if (!ReadsOffsets()) {
      return x();
    }
    const bool learned = positions.kind == layers::PositionsOptions::Kind::kLearned;
    if (learned && positions.length >= 1) {
      if (const absl::Status enough = CheckPlaces("length", positions.length, options_);
          !enough.ok()) {
        return graph_.Fail(Annotate(enough, graph_.scope()));
      }
    }
    return writes() ? layers::PositionsStep(graph_, x(), options_.new_tokens.places, positions)
                    : layers::Positions(graph_, x(), *offsets_, positions);
  }
  Value operator()(const RmsNorm& norm) {
    return layers::RmsNorm(graph_, x(),
                           {.name = "", .frozen = layer_.frozen, .epsilon = norm.epsilon});
  }
  Value operator()(layers::GluOptions glu) {
    glu.name.clear();
    glu.frozen = layer_.frozen;
    return layers::Glu(graph_, x(), glu);
  }
  Value operator()(layers::SequencePoolOptions pool) {
    pool.name.clear();
    return ReadsSequences() ? layers::SequencePool(graph_, x(), *offsets_, pool) : x();
  }

 private:
  Value x() const { return inputs_[0]; }
  bool writes() const { return options_.new_tokens.offsets.valid(); }
  Value LastTokens(Value rows) {
    return SegmentPool(graph_, rows, options_.new_tokens.offsets, SegmentPoolKind::kLast);
  }

  Value Recurrent(layers::RecurrentCell cell, layers::RecurrentOptions options) {
    options.name.clear();
    options.frozen = layer_.frozen;
    return ReadsOffsets() ? layers::Recurrent(graph_, cell, x(), *offsets_, options,
                                              options_.training, options_.carried)
                          : x();
  }

  // Whether x is a row for each token; fails the graph otherwise.
  bool ReadsOffsets() {
    if (!offsets_.has_value()) {
      graph_.Fail(absl::InvalidArgumentError(absl::StrCat(
          graph_.scope(),
          ": it reads sequences, which the task does not give: texts and series have them")));
      return false;
    }
    const Shape& shape = graph_.shape(x());
    if (shape.rank() != 2) {
      graph_.Fail(absl::InvalidArgumentError(
          absl::StrCat(graph_.scope(),
                       ": its input must be a row of numbers for each token, as an embedding "
                       "gives, got ",
                       OfOneExample(shape).ToString(), " for each")));
      return false;
    }
    return true;
  }
  // The same of a layer that must have all tokens of a sequence.
  bool ReadsSequences() {
    if (writes()) {
      graph_.Fail(absl::UnimplementedError(absl::StrCat(
          graph_.scope(), ": it does not go on with a text token by token: it reads all of it")));
      return false;
    }
    return ReadsOffsets();
  }
  ActivationKind Final(ActivationKind kind) {
    return drop_final_ && IsFinalFunction(kind) ? ActivationKind::kNone : kind;
  }

  Graph& graph_;
  const LayerDescription& layer_;
  std::vector<Value> inputs_;
  std::optional<Value> offsets_;
  const BuildOptions& options_;
  bool last_;
  bool drop_final_;
  bool uses_batch_statistics_ = false;
};

// "model.layers[3] (conv2d_2): …", whatever the layer's own function put before.
absl::Status LayerError(const absl::Status& status, absl::string_view place, absl::string_view name,
                        absl::string_view path) {
  absl::string_view message = status.message();
  while (absl::ConsumePrefix(&message, absl::StrCat(path, ": "))) {
  }
  return absl::Status(status.code(), absl::StrCat(place, " (", name, "): ", message));
}

// The layers of the model, or of one of its networks.
struct LayerList {
  std::string where;  // "model"
  std::string scope;  // around the layers: "", or the network's name
  const std::vector<LayerDescription>& layers;
  const std::vector<std::string>& inputs;
  const PresetDescription& preset;

  std::string path(const std::string& name) const {
    return scope.empty() ? name : absl::StrCat(scope, ".", name);
  }
};

absl::StatusOr<absl::flat_hash_map<std::string, Value>> Given(const LayerList& list,
                                                              const std::vector<NamedValue>& inputs,
                                                              const BuildOptions& options) {
  absl::flat_hash_map<std::string, Value> given;
  for (const NamedValue& input : inputs) {
    given[input.name] = input.value;
  }
  // A part of a preset that translates has inputs of its own, which it knows.
  const bool whole = options.translation.part == TranslationBuild::Part::kWhole;
  for (const std::string& name : list.inputs) {
    if (!whole) {
      break;
    }
    if (!given.contains(name) || given.size() != list.inputs.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(list.where, ".inputs: the model has ", absl::StrJoin(list.inputs, ", "),
                       "; the task gives ",
                       absl::StrJoin(inputs, ", ", [](std::string* out, const NamedValue& input) {
                         absl::StrAppend(out, input.name);
                       })));
    }
  }
  return given;
}

bool AreOffsets(absl::string_view input) {
  return input == kOffsetsInput || input == kSourceOffsetsInput;
}

// The first extent of the inputs; of sequences, which are rows of tokens, how many there are.
int64_t ExamplesOf(const Graph& graph, const std::vector<NamedValue>& inputs) {
  for (const NamedValue& input : inputs) {
    if (AreOffsets(input.name)) {
      return graph.shape(input.value)[0] - 1;
    }
  }
  return graph.shape(inputs.front().value)[0];
}

// Where a preset stands instead of layers.
absl::Status BuildPreset(Graph& graph, const LayerList& list, const std::vector<NamedValue>& inputs,
                         const BuildOptions& options, BuiltModel& built) {
  const std::string where = absl::StrCat(list.where, ".preset (", list.preset.name, ")");
  const absl::StatusOr<nlohmann::json> json = ParseJsonObject(list.preset.options);
  HONE_RETURN_IF_ERROR(Annotate(json.status(), absl::StrCat(where, ": its options")));
  absl::StatusOr<Preset> preset = FindPreset(list.preset.name);
  HONE_RETURN_IF_ERROR(Annotate(preset.status(), where));
  try {
    absl::StatusOr<Value> output = (*preset)(graph, *json, inputs, options);
    HONE_RETURN_IF_ERROR(Annotate(output.status(), where));
    built.output = *output;
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": ", error.what()));
  }
  HONE_RETURN_IF_ERROR(Annotate(graph.status(), where));
  LayerTable table = TableOf(graph, ExamplesOf(graph, inputs));
  for (LayerSummary& row : table.rows) {
    if (row.role != LayerRole::kInput && absl::StartsWith(row.name, list.path(""))) {
      built.layers.push_back(std::move(row));
    }
  }
  return absl::OkStatus();
}

// Adapters lie within the layers of a list, but have rows of their own, behind the layer's.
void AddAdapters(const LayerTable& table, std::vector<LayerSummary>& rows) {
  for (const LayerSummary& row : table.rows) {
    const int layer = row.kind == layers::kLora ? RowOf(rows, row.name) : -1;
    if (layer < 0 || rows[static_cast<size_t>(layer)].name == row.name) {
      continue;
    }
    auto behind = rows.begin() + layer + 1;
    while (behind != rows.end() && behind->kind == layers::kLora) {
      ++behind;
    }
    rows.insert(behind, row);
  }
}

absl::StatusOr<BuiltModel> Build(Graph& graph, const LayerList& list,
                                 const std::vector<NamedValue>& inputs,
                                 const BuildOptions& options) {
  HONE_RETURN_IF_ERROR(graph.status());
  absl::flat_hash_map<std::string, Value> values;
  HONE_ASSIGN_OR_RETURN(values, Given(list, inputs, options));
  BuiltModel built;
  const Graph::Scope network(graph, list.scope);
  std::optional<Value> offsets;
  for (const NamedValue& input : inputs) {
    if (AreOffsets(input.name)) {
      offsets = input.name == kOffsetsInput ? input.value : offsets;
      continue;
    }
    built.layers.push_back({.name = list.path(input.name),
                            .kind = "input",
                            .role = LayerRole::kInput,
                            .output_shape = OfOneExample(graph.shape(input.value)),
                            .inputs = {}});
  }
  if (!list.preset.name.empty()) {
    HONE_RETURN_IF_ERROR(BuildPreset(graph, list, inputs, options, built));
  }
  // Of an example's inputs the first that layers read.
  std::string before =
      list.inputs[list.inputs.size() > 1 && list.inputs[0] == kOffsetsInput ? 1 : 0];
  for (size_t i = 0; i < list.layers.size(); ++i) {
    const LayerDescription& layer = list.layers[i];
    LayerSummary row;
    row.name = list.path(layer.name);
    std::vector<Value> read;
    for (const std::string& name :
         layer.inputs.empty() ? std::vector<std::string>{before} : layer.inputs) {
      read.push_back(values.at(name));
      row.inputs.push_back(list.path(name));
    }
    const bool last = i + 1 == list.layers.size();
    Graph::Scope scope(graph, layer.name, NameOf(layer.kind));
    LayerBuilder builder(graph, layer, std::move(read), offsets, options, last);
    Value output = std::visit(builder, layer.kind);
    if (last && options.new_tokens.offsets.valid()) {
      output = builder.Last(output);
    }
    built.output = scope.Gives(output);
    if (!graph.status().ok()) {
      return LayerError(graph.status(), layer.PlaceIn(list.where, i), layer.name, graph.scope());
    }
    built.needs_batch_statistics = built.needs_batch_statistics || builder.uses_batch_statistics();
    values[layer.name] = built.output;
    before = layer.name;
    row.role = last ? LayerRole::kOutput : LayerRole::kHidden;
    built.layers.push_back(std::move(row));
  }
  const LayerTable table = TableOf(graph, ExamplesOf(graph, inputs));
  for (LayerSummary& row : built.layers) {
    const auto known = std::ranges::find(table.rows, row.name, &LayerSummary::name);
    if (row.role != LayerRole::kInput && known != table.rows.end()) {
      const LayerRole role = row.role;
      std::vector<std::string> read = std::move(row.inputs);
      row = *known;
      row.role = role;
      row.inputs = std::move(read);
    }
  }
  AddAdapters(table, built.layers);
  SetShares(built.layers);
  built.depth = table.depths[static_cast<size_t>(built.output.node)];
  return built;
}

// With the model's adapters. Whether all of their targets are there is known where the whole model
// is built: for a training, and of one that is no several networks.
absl::StatusOr<BuiltModel> BuildAdapted(Graph& graph, const ModelDescription& model,
                                        const LayerList& list,
                                        const std::vector<NamedValue>& inputs,
                                        const BuildOptions& options) {
  AdaptedGraph adapted(graph, model.lora.has_value() ? &*model.lora : nullptr, options.training);
  HONE_ASSIGN_OR_RETURN(BuiltModel built, Build(graph, list, inputs, options));
  const absl::Status targets = adapted.CheckTargets();
  if (options.training && list.scope.empty() && !targets.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("model.pretrained.lora.", targets.message()));
  }
  return built;
}

}  // namespace

absl::StatusOr<BuiltModel> BuildModel(Graph& graph, const ModelDescription& description,
                                      Value input, const BuildOptions& options) {
  const bool one = description.inputs.size() == 1;
  return BuildModel(graph, description, {{one ? description.inputs[0] : "input", input}}, options);
}

absl::StatusOr<BuiltModel> BuildModel(Graph& graph, const ModelDescription& description,
                                      const std::vector<NamedValue>& inputs,
                                      const BuildOptions& options) {
  HONE_ASSIGN_OR_RETURN(const ModelDescription model, WithNames(description));
  if (model.layers.empty() && model.preset.name.empty()) {
    return absl::InvalidArgumentError("model.layers: must have at least 1 layer, got 0");
  }
  return BuildAdapted(graph, model, {"model", "", model.layers, model.inputs, model.preset}, inputs,
                      options);
}

absl::StatusOr<BuiltModel> BuildNetwork(Graph& graph, const ModelDescription& description,
                                        absl::string_view network,
                                        const std::vector<NamedValue>& inputs,
                                        const BuildOptions& options) {
  HONE_ASSIGN_OR_RETURN(const ModelDescription model, WithNames(description));
  std::vector<std::string> known;
  for (size_t i = 0; i < model.networks.size(); ++i) {
    const NetworkDescription& one = model.networks[i];
    if (one.name == network) {
      return BuildAdapted(graph, model,
                          {absl::StrCat("model.networks[", i, "] (", one.name, ")"), one.name,
                           one.layers, one.inputs, one.preset},
                          inputs, options);
    }
    known.push_back(one.name);
  }
  return absl::InvalidArgumentError(absl::StrCat("model.networks: none is called ", network,
                                                 "; there are: ", absl::StrJoin(known, ", ")));
}

void CompleteLayers(const Graph& graph, int64_t batch, BuiltModel& model) {
  LayerTable table = TableOf(graph, batch);
  const bool described = !model.layers.empty();
  for (LayerSummary& row : table.rows) {
    // Inputs of a described model have rows already, under the names that it has for them.
    const bool wanted = !described || row.weights + row.biases > 0;
    if (wanted && RowOf(model.layers, row.name) < 0) {
      model.layers.push_back(std::move(row));
    }
  }
  SetShares(model.layers);
  if (model.output.valid()) {
    model.depth = std::max(model.depth, table.depths[static_cast<size_t>(model.output.node)]);
  } else {
    for (const int depth : table.depths) {
      model.depth = std::max(model.depth, depth);
    }
  }
}

}  // namespace hone::engine::models
