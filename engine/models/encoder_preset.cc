#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/sum.h"
#include "engine/layers/dense.h"
#include "engine/layers/normalization.h"
#include "engine/layers/parameters.h"
#include "engine/layers/sequences.h"
#include "engine/models/preset_options.h"
#include "engine/models/presets.h"
#include "engine/ops/embedding.h"
#include "engine/ops/linear.h"
#include "engine/ops/scale.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::models {
namespace {

constexpr float kDeviation = 0.02f;

struct EncoderOptions {
  int64_t layers = 4;
  int64_t heads = 4;
  int64_t width = 128;
  int64_t hidden = 0;
  int64_t length = 0;
  std::string positions = "learned";
  std::string norm = "pre";
  bool embedding_norm = false;
  float epsilon = 1e-5f;
  std::string activation = "gelu";
  float dropout = 0.1f;
  std::string pooling = "mean";
  bool pooler = false;

  bool post() const { return norm == "post"; }
};

absl::Status Check(const EncoderOptions& options) {
  HONE_RETURN_IF_ERROR(CheckLeast("layers", options.layers, 1));
  HONE_RETURN_IF_ERROR(CheckLeast("heads", options.heads, 1));
  HONE_RETURN_IF_ERROR(CheckLeast("width", options.width, 1));
  HONE_RETURN_IF_ERROR(CheckLeast("hidden", options.hidden, 0));
  HONE_RETURN_IF_ERROR(
      CheckWord("positions", options.positions, {"learned", "sinusoidal", "rotary"}));
  HONE_RETURN_IF_ERROR(CheckWord("norm", options.norm, {"pre", "post"}));
  HONE_RETURN_IF_ERROR(CheckWord("activation", options.activation, {"gelu", "relu"}));
  HONE_RETURN_IF_ERROR(CheckWord("pooling", options.pooling, {"mean", "max", "first"}));
  HONE_RETURN_IF_ERROR(CheckDropout(options.dropout));
  if (!(options.epsilon > 0 && options.epsilon <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("`epsilon` must be above 0 and at most 1, got ", options.epsilon));
  }
  if (options.positions == "learned" && options.length < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("`length` must be at least 1 with learned positions, got ", options.length));
  }
  return absl::OkStatus();
}

absl::StatusOr<EncoderOptions> Read(const nlohmann::json& json) {
  EncoderOptions options;
  for (const auto& [key, value] : json.items()) {
    if (key == "layers") {
      value.get_to(options.layers);
    } else if (key == "heads") {
      value.get_to(options.heads);
    } else if (key == "width") {
      value.get_to(options.width);
    } else if (key == "hidden") {
      value.get_to(options.hidden);
    } else if (key == "length") {
      value.get_to(options.length);
    } else if (key == "positions") {
      value.get_to(options.positions);
    } else if (key == "norm") {
      value.get_to(options.norm);
    } else if (key == "embedding_norm") {
      value.get_to(options.embedding_norm);
    } else if (key == "epsilon") {
      value.get_to(options.epsilon);
    } else if (key == "activation") {
      value.get_to(options.activation);
    } else if (key == "dropout") {
      value.get_to(options.dropout);
    } else if (key == "pooling") {
      value.get_to(options.pooling);
    } else if (key == "pooler") {
      value.get_to(options.pooler);
    } else {
      return absl::InvalidArgumentError(absl::StrCat("`", key, "` is not known"));
    }
  }
  HONE_RETURN_IF_ERROR(Check(options));
  return options;
}

layers::WeightInitializer Normal() {
  return {.kind = Initializer::Kind::kNormal, .stddev = kDeviation};
}

// Adds the network's parts to the graph.
class Builder {
 public:
  Builder(Graph& graph, const EncoderOptions& options, Value offsets, const BuildOptions& build)
      : graph_(graph), options_(options), offsets_(offsets), build_(build) {}

  Value Build(Value tokens) {
    Value table;
    Value x = Embed(tokens, table);
    for (int64_t i = 1; i <= options_.layers; ++i) {
      x = Block(x, absl::StrCat("block_", i));
    }
    return build_.outputs > 0 ? OfTexts(x) : OfTokens(x, table);
  }

 private:
  Value Embed(Value tokens, Value& table) {
    Value x = Lookup(tokens, table);
    if (options_.positions != "rotary") {
      const bool learned = options_.positions == "learned";
      using Kind = layers::PositionsOptions::Kind;
      x = layers::Positions(graph_, x, offsets_,
                            {.name = "positions",
                             .kind = learned ? Kind::kLearned : Kind::kSinusoidal,
                             .length = options_.length,
                             .initializer = Normal()});
    }
    return Drop(options_.embedding_norm ? Norm(x, "embedding_norm") : x, "dropout");
  }

  Value Lookup(Value tokens, Value& table) {
    Graph::Scope scope(graph_, "token_embedding", "embedding");
    table = graph_.Parameter({.name = absl::StrCat(graph_.scope(), ".weight"),
                              .shape = {build_.vocabulary, options_.width},
                              .initializer = {.kind = Initializer::Kind::kNormal,
                                              .stddev = kDeviation,
                                              .fan_in = static_cast<double>(build_.vocabulary),
                                              .fan_out = static_cast<double>(options_.width)},
                              .role = ParameterRole::kTrainable,
                              .decays = true,
                              .sparse = true});
    Value x = engine::Embedding(graph_, table, tokens);
    if (options_.positions == "sinusoidal") {
      // So that places, which are numbers from −1 to 1, do not drown the tokens: 3.4 in the paper.
      x = ScaleBy(graph_, x, graph_.Constant(std::sqrt(static_cast<double>(options_.width))));
    }
    return scope.Gives(x);
  }

  Value Block(Value x, const std::string& name) {
    const Graph::Scope scope(graph_, name);
    const layers::AttentionOptions attention = {.name = "attention",
                                                .heads = options_.heads,
                                                .dropout = options_.dropout,
                                                .rotary = options_.positions == "rotary",
                                                .initializer = Normal()};
    Value y = options_.post() ? x : Norm(x, "norm_1");
    y = layers::Attention(graph_, y, offsets_, attention, build_.training);
    x = Added(x, Drop(y, "dropout_1"), "norm_1");
    y = options_.post() ? x : Norm(x, "norm_2");
    y = AddDense(y, "up", options_.hidden > 0 ? options_.hidden : 4 * options_.width, Activation());
    y = AddDense(y, "down", options_.width, ActivationKind::kNone);
    return Added(x, Drop(y, "dropout_2"), "norm_2");
  }

  Value Added(Value x, Value y, const std::string& norm) {
    const Value sum = Sum(graph_, x, y);
    return options_.post() ? Norm(sum, norm) : sum;
  }

  Value OfTexts(Value x) {
    x = options_.post() ? x : Norm(x, "norm");
    const SegmentPoolKind kind = options_.pooling == "max"     ? SegmentPoolKind::kMax
                                 : options_.pooling == "first" ? SegmentPoolKind::kFirst
                                                               : SegmentPoolKind::kMean;
    x = layers::SequencePool(graph_, x, offsets_, {.name = "pool", .kind = kind});
    if (options_.pooler) {
      x = AddDense(x, "pooler", options_.width, ActivationKind::kTanh);
    }
    return AddDense(Drop(x, "dropout_of_text"), "classifier", build_.outputs,
                    ActivationKind::kNone);
  }

  Value OfTokens(Value x, Value table) {
    if (build_.places.valid()) {
      Graph::Scope scope(graph_, "masked");
      x = engine::Embedding(graph_, x, build_.places);  // these rows of x
    }
    x = options_.post() ? x : Norm(x, "norm");
    x = Norm(AddDense(x, "transform", options_.width, Activation()), "transform_norm");
    Graph::Scope scope(graph_, "output", "dense");
    const std::optional<Value> bias =
        layers::LayerParameters(graph_, false).Bias(true, build_.vocabulary);
    return scope.Gives(Linear(graph_, x, table, bias, {.transposed = true}));
  }

  ActivationKind Activation() const {
    return options_.activation == "relu" ? ActivationKind::kRelu : ActivationKind::kGelu;
  }

  Value Norm(Value x, const std::string& name) {
    layers::LayerNormOptions norm;
    norm.name = name;
    norm.epsilon = options_.epsilon;
    return layers::LayerNorm(graph_, x, norm);
  }

  Value AddDense(Value x, const std::string& name, int64_t units, ActivationKind activation) {
    layers::DenseOptions dense;
    dense.name = name;
    dense.units = units;
    dense.activation = activation;
    dense.initializer = Normal();
    return layers::Dense(graph_, x, dense);
  }

  Value Drop(Value x, const std::string& name) {
    return options_.dropout == 0
               ? x
               : layers::Dropout(graph_, x, {.name = name, .rate = options_.dropout},
                                 build_.training);
  }

  Graph& graph_;
  const EncoderOptions& options_;
  const Value offsets_;
  const BuildOptions& build_;
};

}  // namespace

absl::StatusOr<Value> TransformerEncoder(Graph& graph, const nlohmann::json& json,
                                         const std::vector<NamedValue>& inputs,
                                         const BuildOptions& build) {
  HONE_ASSIGN_OR_RETURN(const EncoderOptions options, Read(json));
  const auto tokens = std::ranges::find(inputs, kTokensInput, &NamedValue::name);
  const auto offsets = std::ranges::find(inputs, kOffsetsInput, &NamedValue::name);
  if (inputs.size() != 2 || tokens == inputs.end() || offsets == inputs.end() ||
      build.vocabulary < 1) {
    return absl::InvalidArgumentError("the network is one for texts");
  }
  if (build.new_tokens.offsets.valid()) {
    return absl::InvalidArgumentError(
        "the network sees all of a text: it does not go on with one token by token");
  }
  if (options.positions == "learned") {
    HONE_RETURN_IF_ERROR(CheckPlaces("`length`", options.length, build));
  }
  return Builder(graph, options, offsets->value, build).Build(tokens->value);
}

}  // namespace hone::engine::models
