#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/graph/sum.h"
#include "engine/layers/dense.h"
#include "engine/layers/embedding.h"
#include "engine/layers/normalization.h"
#include "engine/layers/parameters.h"
#include "engine/layers/sequences.h"
#include "engine/models/preset_options.h"
#include "engine/models/presets.h"
#include "engine/models/translation_inputs.h"
#include "engine/ops/embedding.h"
#include "engine/ops/linear.h"
#include "engine/ops/scale.h"

namespace hone::engine::models {
namespace {

using Part = TranslationBuild::Part;

struct TransformerOptions {
  int64_t layers = 3;
  int64_t heads = 8;
  int64_t width = 256;
  int64_t feed_forward = 0;  // 0: 4 · width
  float dropout = 0.1f;
  bool norm_first = false;
  bool tied_embeddings = false;
};

absl::StatusOr<TransformerOptions> Read(const nlohmann::json& json) {
  TransformerOptions options;
  for (const auto& [key, value] : json.items()) {
    if (key == "layers") {
      options.layers = value.get<int64_t>();
    } else if (key == "heads") {
      options.heads = value.get<int64_t>();
    } else if (key == "width") {
      options.width = value.get<int64_t>();
    } else if (key == "feed_forward") {
      options.feed_forward = value.get<int64_t>();
    } else if (key == "dropout") {
      options.dropout = value.get<float>();
    } else if (key == "norm_first") {
      options.norm_first = value.get<bool>();
    } else if (key == "tied_embeddings") {
      options.tied_embeddings = value.get<bool>();
    } else {
      return absl::InvalidArgumentError(absl::StrCat("`", key, "` is not known"));
    }
  }
  HONE_RETURN_IF_ERROR(CheckLeast("layers", options.layers, 1));
  HONE_RETURN_IF_ERROR(CheckHeads(options.heads, options.width));
  HONE_RETURN_IF_ERROR(CheckLeast("feed_forward", options.feed_forward, 0));
  HONE_RETURN_IF_ERROR(CheckDropout(options.dropout));
  options.feed_forward = options.feed_forward == 0 ? 4 * options.width : options.feed_forward;
  return options;
}

// Adds the network's parts to the graph.
class Builder {
 public:
  Builder(Graph& graph, const TransformerOptions& options, const TranslationInputs& inputs,
          const BuildOptions& build)
      : graph_(graph), options_(options), in_(inputs), build_(build), network_(graph.scope()) {}

  Value Build() {
    if (step()) {
      return Decode({}, in_.tokens);
    }
    const Value memory = Encode();
    if (build_.translation.part == Part::kWhole) {
      return DecodeTokens(graph_, in_, build_,
                          [&](Value tokens) { return Decode(memory, tokens); });
    }
    for (int64_t i = 1; i <= options_.layers; ++i) {
      const Graph::Scope layer(graph_, absl::StrCat("decoder_", i));
      const layers::CrossKeys made = layers::CrossAttentionKeys(graph_, memory, Cross());
      const layers::CrossKeys kept = Kept(i, graph_.shape(in_.source_tokens)[0]);
      graph_.Update(kept.keys, made.keys);
      graph_.Update(kept.values, made.values);
    }
    return memory;
  }

 private:
  bool step() const { return build_.translation.part == Part::kStep; }

  // Memory of the store that the encoder's graph fills and steps read.
  layers::CrossKeys Kept(int64_t layer, int64_t rows) {
    const auto memory = [&](absl::string_view name) {
      return graph_.Parameter(
          {.name = absl::StrCat(network_, network_.empty() ? "" : ".", "decoder_", layer,
                                ".cross_attention.", name, "_of_", rows),
           .shape = {rows, options_.width},
           .initializer = {},
           .role = ParameterRole::kTransient});
    };
    return {memory("keys"), memory("values")};
  }

  Value Encode() {
    Value table;
    Value x = Embed(in_.source_tokens, in_.source_offsets, "source",
                    build_.translation.source_vocabulary, false, table);
    for (int64_t i = 1; i <= options_.layers; ++i) {
      const Graph::Scope layer(graph_, absl::StrCat("encoder_", i));
      x = Residual(x, "1", [&](Value y) {
        return layers::Attention(graph_, y, in_.source_offsets, Attention("attention"),
                                 build_.training);
      });
      x = Residual(x, "2", [&](Value y) { return FeedForward(y); });
    }
    return Norm(x, "encoder_norm");
  }

  // `memory` is the encoder's output; a step has what was left of it.
  Value Decode(Value memory, Value tokens) {
    Value table;
    Value x = Embed(tokens, in_.offsets, "target", build_.vocabulary, step(), table);
    for (int64_t i = 1; i <= options_.layers; ++i) {
      const Graph::Scope layer(graph_, absl::StrCat("decoder_", i));
      x = Residual(x, "1", [&](Value y) { return SelfAttention(y); });
      x = Residual(x, "2", [&](Value y) {
        const layers::CrossKeys of_source =
            step() ? Kept(i, build_.translation.source_rows)
                   : layers::CrossAttentionKeys(graph_, memory, Cross());
        return layers::CrossAttention(graph_, y, of_source, in_.offsets, in_.source_offsets,
                                      Cross(), build_.training,
                                      step() ? build_.translation.longest_source : 0);
      });
      x = Residual(x, "3", [&](Value y) { return FeedForward(y); });
    }
    x = Norm(x, "decoder_norm");
    if (!options_.tied_embeddings) {
      return Dense(x, "output", build_.vocabulary);
    }
    Graph::Scope scope(graph_, "output", "dense");
    const std::optional<Value> bias =
        layers::LayerParameters(graph_, false).Bias(true, build_.vocabulary);
    return scope.Gives(Linear(graph_, x, table, bias, {.transposed = true}));
  }

  // Of a step's rows the places are given.
  Value Embed(Value tokens, Value offsets, const std::string& side, int64_t vocabulary,
              bool places_given, Value& table) {
    Value x;
    {
      Graph::Scope scope(graph_, side + "_embedding", "embedding");
      const float deviation = 1 / std::sqrt(static_cast<float>(options_.width));
      table = graph_.Parameter({.name = absl::StrCat(graph_.scope(), ".weight"),
                                .shape = {vocabulary, options_.width},
                                .initializer = {.kind = Initializer::Kind::kNormal,
                                                .stddev = deviation,
                                                .fan_in = static_cast<double>(vocabulary),
                                                .fan_out = static_cast<double>(options_.width)},
                                .role = ParameterRole::kTrainable,
                                .decays = true,
                                .sparse = true});
      const Value rows = engine::Embedding(graph_, table, tokens);
      const Value scale = graph_.Constant(std::sqrt(static_cast<double>(options_.width)));
      x = scope.Gives(ScaleBy(graph_, rows, scale));
    }
    const layers::PositionsOptions positions = {
        .name = side + "_positions", .kind = layers::PositionsOptions::Kind::kSinusoidal};
    x = places_given ? layers::PositionsStep(graph_, x, in_.places, positions)
                     : layers::Positions(graph_, x, offsets, positions);
    return Drop(x, side + "_dropout");
  }

  layers::AttentionOptions Attention(const std::string& name) const {
    return {.name = name, .heads = options_.heads, .dropout = options_.dropout};
  }
  layers::AttentionOptions Cross() const { return Attention("cross_attention"); }

  Value SelfAttention(Value y) {
    layers::AttentionOptions attention = Attention("attention");
    attention.causal = true;
    return step() ? layers::AttentionStep(graph_, y, in_.places, build_.decode_window, attention,
                                          in_.ancestors)
                  : layers::Attention(graph_, y, in_.offsets, attention, build_.training);
  }

  Value FeedForward(Value y) {
    y = Dense(y, "up", options_.feed_forward, ActivationKind::kRelu);
    return Dense(Drop(y, "dropout"), "down", options_.width);
  }

  template <typename Sublayer>
  Value Residual(Value x, const std::string& number, Sublayer&& sublayer) {
    const std::string norm = "norm_" + number, dropout = "dropout_" + number;
    if (options_.norm_first) {
      return Sum(graph_, x, Drop(sublayer(Norm(x, norm)), dropout));
    }
    return Norm(Sum(graph_, x, Drop(sublayer(x), dropout)), norm);
  }

  Value Norm(Value x, const std::string& name) {
    layers::LayerNormOptions norm;
    norm.name = name;
    return layers::LayerNorm(graph_, x, norm);
  }

  Value Dense(Value x, const std::string& name, int64_t units,
              ActivationKind activation = ActivationKind::kNone) {
    layers::DenseOptions dense;
    dense.name = name;
    dense.units = units;
    dense.activation = activation;
    return layers::Dense(graph_, x, dense);
  }

  Value Drop(Value x, const std::string& name) {
    return options_.dropout == 0
               ? x
               : layers::Dropout(graph_, x, {.name = name, .rate = options_.dropout},
                                 build_.training);
  }

  Graph& graph_;
  const TransformerOptions& options_;
  const TranslationInputs& in_;
  const BuildOptions& build_;
  const std::string network_;  // the scope around it
};

}  // namespace

absl::StatusOr<Value> TransformerTranslation(Graph& graph, const nlohmann::json& json,
                                             const std::vector<NamedValue>& inputs,
                                             const BuildOptions& build) {
  HONE_ASSIGN_OR_RETURN(const TransformerOptions options, Read(json));
  HONE_ASSIGN_OR_RETURN(const TranslationInputs in, TranslationInputsOf(inputs, build));
  return Builder(graph, options, in, build).Build();
}

}  // namespace hone::engine::models
