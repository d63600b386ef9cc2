#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/sum.h"
#include "engine/layers/dense.h"
#include "engine/layers/normalization.h"
#include "engine/layers/sequences.h"
#include "engine/models/preset_options.h"
#include "engine/models/presets.h"
#include "engine/ops/embedding.h"
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
};

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
    } else {
      return absl::InvalidArgumentError(absl::StrCat("`", key, "` is not known"));
    }
  }
  HONE_RETURN_IF_ERROR(CheckLeast("layers", options.layers, 1));
  HONE_RETURN_IF_ERROR(CheckLeast("heads", options.heads, 1));
  HONE_RETURN_IF_ERROR(CheckLeast("width", options.width, 1));
  HONE_RETURN_IF_ERROR(
      CheckWord("positions", options.positions, {"learned", "sinusoidal", "rotary"}));
  HONE_RETURN_IF_ERROR(CheckDropout(options.dropout));
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
    x = Drop(x, "dropout");
    for (int64_t i = 1; i <= options_.layers; ++i) {
      x = Block(x, absl::StrCat("block_", i));
    }
    if (writes()) {
      x = SegmentPool(graph_, x, offsets_, SegmentPoolKind::kLast);
    }
    x = Norm(x, "norm");
    if (!options_.tied_embeddings) {
      return AddDense(x, "output", build_.vocabulary, ActivationKind::kNone, kDeviation, false);
    }
    Graph::Scope scope(graph_, "output", "dense");
    return scope.Gives(Linear(graph_, x, table, std::nullopt, {.transposed = true}));
  }

 private:
  bool writes() const { return build_.new_tokens.offsets.valid(); }

  Value Embed(Value tokens, Value& table) {
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
    return scope.Gives(engine::Embedding(graph_, table, tokens));
  }

  Value Block(Value x, const std::string& name) {
    const Graph::Scope scope(graph_, name);
    const layers::AttentionOptions attention = {.name = "attention",
                                                .heads = options_.heads,
                                                .causal = true,
                                                .dropout = options_.dropout,
                                                .rotary = options_.positions == "rotary",
                                                .use_bias = options_.use_bias,
                                                .initializer = Normal(kDeviation),
                                                .output_initializer = Normal(added_)};
    Value y = Norm(x, "norm_1");
    y = writes() ? layers::AttentionOfNewTokens(graph_, y, build_.new_tokens, attention)
                 : layers::Attention(graph_, y, offsets_, attention, build_.training);
    x = Sum(graph_, x, Drop(y, "dropout_1"));
    y = AddDense(Norm(x, "norm_2"), "up", 4 * options_.width, ActivationKind::kGelu, kDeviation,
                 options_.use_bias);
    y = AddDense(y, "down", options_.width, ActivationKind::kNone, added_, options_.use_bias);
    return Sum(graph_, x, Drop(y, "dropout_2"));
  }

  Value Norm(Value x, const std::string& name) {
    layers::LayerNormOptions norm;
    norm.name = name;
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
    return layers::Dense(graph_, x, dense);
  }

  Value Drop(Value x, const std::string& name) {
    return options_.dropout == 0
               ? x
               : layers::Dropout(graph_, x, {.name = name, .rate = options_.dropout},
                                 build_.training);
  }

  Graph& graph_;
  const GptOptions& options_;
  const Value offsets_;
  const BuildOptions& build_;
  const float added_;  // deviation of the weights whose product is added to what they read
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
  return Builder(graph, options, offsets->value, build).Build(tokens->value);
}

}  // namespace hone::engine::models
