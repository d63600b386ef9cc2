#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
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
#include "engine/ops/broadcast.h"
#include "engine/ops/concat.h"
#include "engine/ops/embedding.h"
#include "engine/ops/embedding_noise.h"
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
  std::optional<float> attention_dropout = {};
  std::optional<float> head_dropout = {};
  std::string pooling = "mean";
  bool pooler = false;
  std::string pooler_activation = "tanh";
  bool pooler_dropout = false;  // of what the pooler reads, as RoBERTa has it
  int64_t token_types = 0;
  int64_t table_rows = 0;
  bool transposed = false;

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
  HONE_RETURN_IF_ERROR(CheckWord("activation", options.activation, {"gelu", "gelu_tanh", "relu"}));
  HONE_RETURN_IF_ERROR(CheckWord("pooler_activation", options.pooler_activation, {"tanh", "relu"}));
  HONE_RETURN_IF_ERROR(CheckLeast("token_types", options.token_types, 0));
  HONE_RETURN_IF_ERROR(CheckLeast("table_rows", options.table_rows, 0));
  HONE_RETURN_IF_ERROR(CheckWord("pooling", options.pooling, {"mean", "max", "first"}));
  for (const float share :
       {options.dropout, options.attention_dropout.value_or(0), options.head_dropout.value_or(0)}) {
    HONE_RETURN_IF_ERROR(CheckDropout(share));
  }
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
    } else if (key == "attention_dropout") {
      options.attention_dropout = value.get<float>();
    } else if (key == "head_dropout") {
      options.head_dropout = value.get<float>();
    } else if (key == "pooling") {
      value.get_to(options.pooling);
    } else if (key == "pooler") {
      value.get_to(options.pooler);
    } else if (key == "pooler_activation") {
      value.get_to(options.pooler_activation);
    } else if (key == "pooler_dropout") {
      value.get_to(options.pooler_dropout);
    } else if (key == "token_types") {
      value.get_to(options.token_types);
    } else if (key == "table_rows") {
      value.get_to(options.table_rows);
    } else if (key == "transposed") {
      value.get_to(options.transposed);
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
  // `segments` only where the examples are pairs.
  Builder(Graph& graph, const EncoderOptions& options, Value offsets, std::optional<Value> segments,
          const BuildOptions& build)
      : graph_(graph),
        options_(options),
        offsets_(offsets),
        segments_(segments),
        build_(build),
        table_rows_(std::max(options.table_rows, build.vocabulary)) {}

  Value Build(Value tokens) {
    Value table;
    Value x = Embed(tokens, table);
    for (int64_t i = 1; i <= options_.layers; ++i) {
      x = Block(x, absl::StrCat("block_", i));
    }
    if (build_.of_tokens) {
      return OfRows(x);
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
    if (options_.token_types > 0) {
      x = AddTypes(x);
    }
    return Drop(options_.embedding_norm ? Norm(x, "embedding_norm") : x, "dropout");
  }

  Value Lookup(Value tokens, Value& table) {
    Graph::Scope scope(graph_, "token_embedding", "embedding");
    table = graph_.Parameter({.name = absl::StrCat(graph_.scope(), ".weight"),
                              .shape = {table_rows_, options_.width},
                              .initializer = {.kind = Initializer::Kind::kNormal,
                                              .stddev = kDeviation,
                                              .fan_in = static_cast<double>(table_rows_),
                                              .fan_out = static_cast<double>(options_.width)},
                              .role = ParameterRole::kTrainable,
                              .decays = true,
                              .sparse = true});
    Value x = engine::Embedding(graph_, table, tokens);
    if (build_.training) {
      x = EmbeddingNoise(graph_, x, offsets_, graph_.embedding_noise());
    }
    if (options_.positions == "sinusoidal") {
      // So that places, which are numbers from −1 to 1, do not drown the tokens: 3.4 in the paper.
      x = ScaleBy(graph_, x, graph_.Constant(std::sqrt(static_cast<double>(options_.width))));
    }
    return scope.Gives(x);
  }

  // What stands for the text of a pair that a token belongs to; without pairs for the first.
  Value AddTypes(Value x) {
    Graph::Scope scope(graph_, "token_types", "embedding");
    const Value table = layers::LayerParameters(graph_, false)
                            .Weight({options_.token_types, options_.width}, Normal(),
                                    {static_cast<double>(options_.token_types),
                                     static_cast<double>(options_.width)});
    if (segments_.has_value() && options_.token_types > 1) {
      return scope.Gives(Sum(graph_, x, engine::Embedding(graph_, table, *segments_)));
    }
    return scope.Gives(AddBroadcast(graph_, x, Slice(graph_, table, 0, 1, /*axis=*/0)));
  }

  Value Block(Value x, const std::string& name) {
    const Graph::Scope scope(graph_, name);
    const layers::AttentionOptions attention = {
        .name = "attention",
        .heads = options_.heads,
        .dropout = options_.attention_dropout.value_or(options_.dropout),
        .rotary = options_.positions == "rotary",
        .initializer = Normal(),
        .transposed = options_.transposed};
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
    const float dropout = options_.head_dropout.value_or(options_.dropout);
    if (options_.pooler) {
      x = options_.pooler_dropout ? Drop(x, "dropout_of_pooled", dropout) : x;
      x = AddDense(
          x, "pooler", options_.width,
          options_.pooler_activation == "relu" ? ActivationKind::kRelu : ActivationKind::kTanh);
    }
    x = Drop(x, "dropout_of_text", dropout);
    return AddDense(x, "classifier", build_.outputs, ActivationKind::kNone);
  }

  // What each token has become, or numbers of that.
  Value OfRows(Value x) {
    x = options_.post() ? x : Norm(x, "norm");
    if (build_.outputs == 0) {
      return x;
    }
    x = Drop(x, "dropout_of_token", options_.head_dropout.value_or(options_.dropout));
    return AddDense(x, "classifier", build_.outputs, ActivationKind::kNone);
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
        layers::LayerParameters(graph_, false).Bias(true, table_rows_);
    const Value logits = Linear(graph_, x, table, bias, {.transposed = true});
    // Rows behind the vocabulary are of no token.
    return scope.Gives(
        table_rows_ == build_.vocabulary ? logits : Slice(graph_, logits, 0, build_.vocabulary));
  }

  ActivationKind Activation() const {
    return options_.activation == "relu"        ? ActivationKind::kRelu
           : options_.activation == "gelu_tanh" ? ActivationKind::kGeluTanh
                                                : ActivationKind::kGelu;
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
    dense.transposed = options_.transposed;
    return layers::Dense(graph_, x, dense);
  }

  Value Drop(Value x, const std::string& name) { return Drop(x, name, options_.dropout); }
  Value Drop(Value x, const std::string& name, float rate) {
    return rate == 0 ? x
                     : layers::Dropout(graph_, x, {.name = name, .rate = rate}, build_.training);
  }

  Graph& graph_;
  const EncoderOptions& options_;
  const Value offsets_;
  const std::optional<Value> segments_;
  const BuildOptions& build_;
  const int64_t table_rows_;  // of the tokens; at least the vocabulary
};

}  // namespace

absl::StatusOr<Value> TransformerEncoder(Graph& graph, const nlohmann::json& json,
                                         const std::vector<NamedValue>& inputs,
                                         const BuildOptions& build) {
  HONE_ASSIGN_OR_RETURN(const EncoderOptions options, Read(json));
  const auto tokens = std::ranges::find(inputs, kTokensInput, &NamedValue::name);
  const auto offsets = std::ranges::find(inputs, kOffsetsInput, &NamedValue::name);
  const auto segments = std::ranges::find(inputs, kSegmentsInput, &NamedValue::name);
  const bool pairs = segments != inputs.end() && options.token_types > 0;
  if (inputs.size() != (pairs ? 3 : 2) || tokens == inputs.end() || offsets == inputs.end() ||
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
  if (options.table_rows > 0 && options.table_rows < build.vocabulary) {
    return absl::InvalidArgumentError(
        absl::StrCat("`table_rows` must be at least ", build.vocabulary,
                     ", one for each token of the vocabulary, got ", options.table_rows));
  }
  return Builder(graph, options, offsets->value,
                 pairs ? std::optional(segments->value) : std::nullopt, build)
      .Build(tokens->value);
}

}  // namespace hone::engine::models
