#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/sum.h"
#include "engine/layers/dense.h"
#include "engine/layers/glu.h"
#include "engine/layers/normalization.h"
#include "engine/layers/sequences.h"
#include "engine/models/preset_options.h"
#include "engine/models/presets.h"
#include "engine/ops/concat.h"
#include "engine/ops/embedding.h"
#include "engine/ops/embedding_noise.h"
#include "engine/ops/linear.h"
#include "engine/ops/segment_pool.h"
#include "engine/tensor/token_rows.h"

namespace hone::engine::models {
namespace {

constexpr float kDeviation = 0.02f;

struct GptOptions {
  int64_t layers = 4;
  int64_t heads = 4;
  int64_t width = 128;
  int64_t window = 0;
  float dropout = 0;
  std::string positions = "learned";
  bool tied_embeddings = true;
  bool use_bias = false;
  int64_t kv_heads = 0;
  int64_t hidden = 0;
  std::string norm = "layer";
  float epsilon = 1e-5f;
  std::string activation = "gelu";
  bool gated = false;
  float rotary_base = 10000;
  int64_t longest = 0;
  std::optional<float> attention_dropout = {};
  std::optional<float> embedding_dropout = {};
  int64_t table_rows = 0;
  bool transposed = false;
  int64_t head_width = 0;
  bool head_norm = false;
  std::optional<bool> query_bias = {};
  std::optional<bool> output_bias = {};
  std::optional<bool> feed_forward_bias = {};
  std::string rotary_scaling = "none";
  RotaryScaling scaling = {};  // but for its kind
};

using Scaling = RotaryScaling::Kind;

Scaling ScalingOf(const std::string& word) {
  return word == "linear" ? Scaling::kLinear : word == "llama3" ? Scaling::kLlama3 : Scaling::kNone;
}

absl::Status CheckScaling(const GptOptions& options) {
  HONE_RETURN_IF_ERROR(
      CheckWord("rotary_scaling", options.rotary_scaling, {"none", "linear", "llama3"}));
  const RotaryScaling& scaling = options.scaling;
  if (!(scaling.factor >= 1 && scaling.factor <= 1e6)) {
    return absl::InvalidArgumentError(
        absl::StrCat("`rotary_factor` must be between 1 and 1e6, got ", scaling.factor));
  }
  if (!(scaling.low > 0 && scaling.low < scaling.high && scaling.high <= 1e6)) {
    return absl::InvalidArgumentError(
        absl::StrCat("`rotary_low` must be above 0 and below `rotary_high`, got ", scaling.low,
                     " and ", scaling.high));
  }
  if (!(scaling.original >= 1 && scaling.original <= 1e9)) {
    return absl::InvalidArgumentError(
        absl::StrCat("`rotary_original` must be between 1 and 1e9, got ", scaling.original));
  }
  return absl::OkStatus();
}

// Of the options that checkpoints of others have.
absl::Status Check(const GptOptions& options) {
  for (const auto& [name, value] :
       {std::pair{"kv_heads", options.kv_heads}, std::pair{"hidden", options.hidden},
        std::pair{"longest", options.longest}, std::pair{"table_rows", options.table_rows},
        std::pair{"head_width", options.head_width}}) {
    HONE_RETURN_IF_ERROR(CheckLeast(name, value, 0));
  }
  HONE_RETURN_IF_ERROR(CheckWord("norm", options.norm, {"layer", "rms"}));
  HONE_RETURN_IF_ERROR(
      CheckWord("activation", options.activation, {"gelu", "gelu_tanh", "relu", "silu"}));
  for (const float share : {options.dropout, options.attention_dropout.value_or(0),
                            options.embedding_dropout.value_or(0)}) {
    HONE_RETURN_IF_ERROR(CheckDropout(share));
  }
  if (!(options.epsilon > 0 && options.epsilon <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("`epsilon` must be above 0 and at most 1, got ", options.epsilon));
  }
  if (!(options.rotary_base > 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("`rotary_base` must be above 1, got ", options.rotary_base));
  }
  return CheckScaling(options);
}

// Those of attention and of long texts; false: it is none of them.
bool ReadAttention(const std::string& key, const nlohmann::json& value, GptOptions& options) {
  if (key == "head_width") {
    options.head_width = value.get<int64_t>();
  } else if (key == "head_norm") {
    options.head_norm = value.get<bool>();
  } else if (key == "query_bias") {
    options.query_bias = value.get<bool>();
  } else if (key == "output_bias") {
    options.output_bias = value.get<bool>();
  } else if (key == "feed_forward_bias") {
    options.feed_forward_bias = value.get<bool>();
  } else if (key == "rotary_scaling") {
    options.rotary_scaling = value.get<std::string>();
  } else if (key == "rotary_factor") {
    options.scaling.factor = value.get<double>();
  } else if (key == "rotary_low") {
    options.scaling.low = value.get<double>();
  } else if (key == "rotary_high") {
    options.scaling.high = value.get<double>();
  } else if (key == "rotary_original") {
    options.scaling.original = value.get<double>();
  } else {
    return false;
  }
  return true;
}

absl::StatusOr<GptOptions> Read(const nlohmann::json& json) {
  GptOptions options;
  for (const auto& [key, value] : json.items()) {
    if (key == "layers") {
      options.layers = value.get<int64_t>();
    } else if (key == "heads") {
      options.heads = value.get<int64_t>();
    } else if (key == "width") {
      options.width = value.get<int64_t>();
    } else if (key == "window") {
      options.window = value.get<int64_t>();
    } else if (key == "dropout") {
      options.dropout = value.get<float>();
    } else if (key == "positions") {
      options.positions = value.get<std::string>();
    } else if (key == "tied_embeddings") {
      options.tied_embeddings = value.get<bool>();
    } else if (key == "use_bias") {
      options.use_bias = value.get<bool>();
    } else if (key == "kv_heads") {
      options.kv_heads = value.get<int64_t>();
    } else if (key == "hidden") {
      options.hidden = value.get<int64_t>();
    } else if (key == "norm") {
      options.norm = value.get<std::string>();
    } else if (key == "epsilon") {
      options.epsilon = value.get<float>();
    } else if (key == "activation") {
      options.activation = value.get<std::string>();
    } else if (key == "gated") {
      options.gated = value.get<bool>();
    } else if (key == "rotary_base") {
      options.rotary_base = value.get<float>();
    } else if (key == "longest") {
      options.longest = value.get<int64_t>();
    } else if (key == "attention_dropout") {
      options.attention_dropout = value.get<float>();
    } else if (key == "embedding_dropout") {
      options.embedding_dropout = value.get<float>();
    } else if (key == "table_rows") {
      options.table_rows = value.get<int64_t>();
    } else if (key == "transposed") {
      options.transposed = value.get<bool>();
    } else if (!ReadAttention(key, value, options)) {
      return absl::InvalidArgumentError(absl::StrCat("`", key, "` is not known"));
    }
  }
  options.scaling.kind = ScalingOf(options.rotary_scaling);
  HONE_RETURN_IF_ERROR(CheckLeast("layers", options.layers, 1));
  HONE_RETURN_IF_ERROR(CheckLeast("heads", options.heads, 1));
  HONE_RETURN_IF_ERROR(CheckLeast("width", options.width, 1));
  HONE_RETURN_IF_ERROR(
      CheckWord("positions", options.positions, {"learned", "sinusoidal", "rotary"}));
  HONE_RETURN_IF_ERROR(Check(options));
  return options;
}

layers::WeightInitializer Normal(float deviation) {
  return {.kind = Initializer::Kind::kNormal, .stddev = deviation};
}

// Adds the network's parts to the graph.
class Builder {
 public:
  Builder(Graph& graph, const GptOptions& options, Value offsets, const BuildOptions& build)
      : graph_(graph),
        options_(options),
        offsets_(offsets),
        build_(build),
        table_rows_(std::max(options.table_rows, build.vocabulary)),
        added_(kDeviation / std::sqrt(2 * static_cast<float>(options.layers))) {}

  Value Build(Value tokens) {
    Value table;
    Value x = Embed(tokens, table);
    if (options_.positions != "rotary") {
      const bool learned = options_.positions == "learned";
      using Kind = layers::PositionsOptions::Kind;
      const layers::PositionsOptions positions = {
          .name = "positions",
          .kind = learned ? Kind::kLearned : Kind::kSinusoidal,
          .length = options_.window,
          .initializer = Normal(kDeviation)};
      x = writes() ? layers::PositionsStep(graph_, x, build_.new_tokens.places, positions)
                   : layers::Positions(graph_, x, offsets_, positions);
    }
    x = Drop(x, "dropout", options_.embedding_dropout.value_or(options_.dropout));
    for (int64_t i = 1; i <= options_.layers; ++i) {
      x = Block(x, absl::StrCat("block_", i));
    }
    if (writes()) {
      x = SegmentPool(graph_, x, offsets_, SegmentPoolKind::kLast);
    }
    if (build_.places.valid()) {
      Graph::Scope scope(graph_, "learned");
      x = engine::Embedding(graph_, x, build_.places);  // these rows of x
    }
    x = Norm(x, "norm");
    // Rows behind the vocabulary are of no token.
    const bool spare = table_rows_ > build_.vocabulary;
    if (!options_.tied_embeddings) {
      x = AddDense(x, "output", table_rows_, ActivationKind::kNone, kDeviation, false);
      return spare ? Slice(graph_, x, 0, build_.vocabulary) : x;
    }
    Graph::Scope scope(graph_, "output", "dense");
    table = spare ? Slice(graph_, table, 0, build_.vocabulary, /*axis=*/0) : table;
    return scope.Gives(Linear(graph_, x, table, std::nullopt, {.transposed = true}));
  }

 private:
  bool writes() const { return build_.new_tokens.offsets.valid(); }

  Value Embed(Value tokens, Value& table) {
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
    const Value x = engine::Embedding(graph_, table, tokens);
    return scope.Gives(
        build_.training ? EmbeddingNoise(graph_, x, offsets_, graph_.embedding_noise()) : x);
  }

  Value Block(Value x, const std::string& name) {
    const Graph::Scope scope(graph_, name);
    const layers::AttentionOptions attention = {
        .name = "attention",
        .heads = options_.heads,
        .kv_heads = options_.kv_heads,
        .causal = true,
        .dropout = options_.attention_dropout.value_or(options_.dropout),
        .rotary = options_.positions == "rotary",
        .rotary_base = options_.rotary_base,
        .rotary_scaling = options_.scaling,
        .use_bias = options_.query_bias.value_or(options_.use_bias),
        .output_bias = options_.output_bias.value_or(options_.use_bias),
        .initializer = Normal(kDeviation),
        .output_initializer = Normal(added_),
        .transposed = options_.transposed,
        .head_width = options_.head_width,
        .head_norm_epsilon = options_.head_norm ? options_.epsilon : 0};
    Value y = Norm(x, "norm_1");
    y = writes() ? layers::AttentionOfNewTokens(graph_, y, build_.new_tokens, attention)
                 : layers::Attention(graph_, y, offsets_, attention, build_.training);
    x = Sum(graph_, x, Drop(y, "dropout_1"));
    return Sum(graph_, x, Drop(FeedForward(Norm(x, "norm_2")), "dropout_2"));
  }

  Value FeedForward(Value x) {
    const int64_t hidden = options_.hidden > 0 ? options_.hidden : 4 * options_.width;
    const bool use_bias = options_.feed_forward_bias.value_or(options_.use_bias);
    if (options_.gated) {
      return layers::Glu(graph_, x,
                         {.name = "feed_forward",
                          .units = hidden,
                          .activation = Activation(),
                          .use_bias = use_bias,
                          .initializer = Normal(kDeviation),
                          .transposed = options_.transposed});
    }
    x = AddDense(x, "up", hidden, Activation(), kDeviation, use_bias);
    return AddDense(x, "down", options_.width, ActivationKind::kNone, added_, use_bias);
  }

  ActivationKind Activation() const {
    return options_.activation == "relu"        ? ActivationKind::kRelu
           : options_.activation == "silu"      ? ActivationKind::kSilu
           : options_.activation == "gelu_tanh" ? ActivationKind::kGeluTanh
                                                : ActivationKind::kGelu;
  }

  Value Norm(Value x, const std::string& name) {
    if (options_.norm == "rms") {
      return layers::RmsNorm(graph_, x, {.name = name, .epsilon = options_.epsilon});
    }
    layers::LayerNormOptions norm;
    norm.name = name;
    norm.epsilon = options_.epsilon;
    norm.use_bias = options_.use_bias;
    return layers::LayerNorm(graph_, x, norm);
  }

  Value AddDense(Value x, const std::string& name, int64_t units, ActivationKind activation,
                 float deviation, bool use_bias) {
    layers::DenseOptions dense;
    dense.name = name;
    dense.units = units;
    dense.activation = activation;
    dense.use_bias = use_bias;
    dense.initializer = Normal(deviation);
    dense.transposed = options_.transposed;
    return layers::Dense(graph_, x, dense);
  }

  Value Drop(Value x, const std::string& name) { return Drop(x, name, options_.dropout); }
  Value Drop(Value x, const std::string& name, float rate) {
    return rate == 0 ? x
                     : layers::Dropout(graph_, x, {.name = name, .rate = rate}, build_.training);
  }

  Graph& graph_;
  const GptOptions& options_;
  const Value offsets_;
  const BuildOptions& build_;
  const int64_t table_rows_;  // of the tokens; at least the vocabulary
  const float added_;         // deviation of the weights whose product is added to what they read
};

}  // namespace

absl::StatusOr<Value> Gpt(Graph& graph, const nlohmann::json& json,
                          const std::vector<NamedValue>& inputs, const BuildOptions& build) {
  HONE_ASSIGN_OR_RETURN(const GptOptions options, Read(json));
  const auto tokens = std::ranges::find(inputs, kTokensInput, &NamedValue::name);
  const auto offsets = std::ranges::find(inputs, kOffsetsInput, &NamedValue::name);
  if (inputs.size() != 2 || tokens == inputs.end() || offsets == inputs.end() ||
      build.vocabulary < 1) {
    return absl::InvalidArgumentError("the network is one for texts: it foretells their tokens");
  }
  if (options.positions == "learned" && options.window < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("`window` must be at least 1 with learned positions, got ", options.window));
  }
  if (options.positions == "learned") {
    HONE_RETURN_IF_ERROR(CheckPlaces("`window`", options.window, build));
  }
  if (options.longest > 0) {
    HONE_RETURN_IF_ERROR(CheckPlaces("`longest`", options.longest, build));
  }
  if (options.table_rows > 0 && options.table_rows < build.vocabulary) {
    return absl::InvalidArgumentError(
        absl::StrCat("`table_rows` must be at least ", build.vocabulary,
                     ", one for each token of the vocabulary, got ", options.table_rows));
  }
  return Builder(graph, options, offsets->value, build).Build(tokens->value);
}

}  // namespace hone::engine::models
