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
#include "engine/ops/activation.h"
#include "engine/ops/additive_attention.h"
#include "engine/ops/attention.h"
#include "engine/ops/attention_weights.h"
#include "engine/ops/concat.h"
#include "engine/ops/continued_rows.h"
#include "engine/ops/dropout.h"
#include "engine/ops/feeding_decoder.h"
#include "engine/ops/full.h"
#include "engine/ops/linear.h"
#include "engine/ops/mul.h"
#include "engine/ops/recurrent_decoder.h"
#include "engine/ops/scale.h"

namespace hone::engine::models {
namespace {

using Part = TranslationBuild::Part;
using Start = Initializer::Kind;

struct Seq2SeqOptions {
  std::string cell = "gru";
  std::string attention = "bahdanau";
  int64_t layers = 1;
  int64_t units = 256;
  int64_t embedding = 0;  // 0: as many as units
  float dropout = 0.1f;
  bool bidirectional = false;
  bool input_feeding = false;
};

absl::StatusOr<Seq2SeqOptions> Read(const nlohmann::json& json) {
  Seq2SeqOptions options;
  for (const auto& [key, value] : json.items()) {
    if (key == "cell") {
      options.cell = value.get<std::string>();
    } else if (key == "attention") {
      options.attention = value.get<std::string>();
    } else if (key == "layers") {
      options.layers = value.get<int64_t>();
    } else if (key == "units") {
      options.units = value.get<int64_t>();
    } else if (key == "embedding") {
      options.embedding = value.get<int64_t>();
    } else if (key == "dropout") {
      options.dropout = value.get<float>();
    } else if (key == "bidirectional") {
      options.bidirectional = value.get<bool>();
    } else if (key == "input_feeding") {
      options.input_feeding = value.get<bool>();
    } else {
      return absl::InvalidArgumentError(absl::StrCat("`", key, "` is not known"));
    }
  }
  HONE_RETURN_IF_ERROR(CheckWord("cell", options.cell, {"gru", "lstm"}));
  HONE_RETURN_IF_ERROR(CheckWord("attention", options.attention, {"bahdanau", "luong"}));
  HONE_RETURN_IF_ERROR(CheckLeast("layers", options.layers, 1));
  HONE_RETURN_IF_ERROR(CheckLeast("units", options.units, 1));
  HONE_RETURN_IF_ERROR(CheckLeast("embedding", options.embedding, 0));
  HONE_RETURN_IF_ERROR(CheckDropout(options.dropout));
  if (options.input_feeding && (options.attention != "luong" || options.layers != 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("`input_feeding` is of `attention` luong with one of `layers`, got ",
                     options.attention, " and ", options.layers));
  }
  options.embedding = options.embedding == 0 ? options.units : options.embedding;
  return options;
}

// Adds the network's parts to the graph.
class Builder {
 public:
  Builder(Graph& graph, const Seq2SeqOptions& options, const TranslationInputs& inputs,
          const BuildOptions& build)
      : graph_(graph), options_(options), in_(inputs), build_(build), network_(graph.scope()) {}

  Value Build() {
    if (build_.translation.part == Part::kStep) {
      return Step();
    }
    const Encoded encoded = Encode();
    if (build_.translation.part == Part::kEncoder) {
      Leave(encoded);
      return encoded.states;
    }
    return DecodeTokens(graph_, in_, build_, [&](Value tokens) {
      const Value e = Embed(tokens, "target", build_.vocabulary);
      return Output(options_.input_feeding ? Fed(e, encoded) : Decode(e, encoded));
    });
  }

 private:
  // What the decoder is given of the text that is read.
  struct Encoded {
    Value states;  // [source rows, memory()]
    // Of each of its layers.
    std::vector<Value> start;        // [sentences, units]
    std::vector<Value> start_cells;  // the same, of an LSTM
  };

  // The decoder over whole texts: what the logits are made of.
  Value Decode(Value e, const Encoded& encoded) {
    const std::optional<DecoderAttention> attention = LookedAt(encoded);
    Value states = e;
    {
      Graph::Scope scope(graph_, "decoder", options_.cell);
      for (int64_t layer = 1; layer <= options_.layers; ++layer) {
        const Graph::Scope of_layer(graph_, NameOf(layer));
        const Value gates = Linear(graph_, Given(states, layer), InputWeight(layer), Bias());
        const auto looked = layer == 1 ? attention : std::nullopt;
        const auto at = static_cast<size_t>(layer) - 1;
        states = lstm() ? LstmDecoder(graph_, gates, RecurrentWeight(), encoded.start[at],
                                      encoded.start_cells[at], in_.offsets, looked)
                        : GruDecoder(graph_, gates, RecurrentWeight(), RecurrentBias(),
                                     encoded.start[at], in_.offsets, looked);
      }
      scope.Gives(states);
    }
    return bahdanau() ? states : Attentional(states, encoded.states);
  }
  // The same where what luong's attention makes is fed to the next step.
  Value Fed(Value e, const Encoded& encoded) {
    FeedingAttention attention;
    attention.values = encoded.states;
    attention.offsets = in_.source_offsets;
    {
      const Graph::Scope scope(graph_, "attention", "attention");
      attention.query_weight = GeneralWeight();
    }
    {
      const Graph::Scope scope(graph_, "combine", "dense");
      const int64_t seen = options_.units + memory();
      attention.combine_weight = Weight("weight", seen, options_.units, static_cast<double>(seen));
      attention.combine_bias = Vector("bias", options_.units, Start::kZeros);
    }
    Graph::Scope scope(graph_, "decoder", options_.cell);
    attention.feed_weight = FeedWeight();
    const Value gates = Linear(graph_, e, InputWeight(1), Bias());
    return scope.Gives(lstm()
                           ? LstmFeedingDecoder(graph_, gates, RecurrentWeight(), encoded.start[0],
                                                encoded.start_cells[0], in_.offsets, attention)
                           : GruFeedingDecoder(graph_, gates, RecurrentWeight(), RecurrentBias(),
                                               encoded.start[0], in_.offsets, attention));
  }

  bool lstm() const { return options_.cell == "lstm"; }
  bool bahdanau() const { return options_.attention == "bahdanau"; }
  int64_t memory() const { return options_.units * (options_.bidirectional ? 2 : 1); }
  int64_t gates() const { return options_.units * (lstm() ? 4 : 3); }
  // Of a layer, counted from 1, in the scope of all of them.
  std::string NameOf(int64_t layer) const {
    return options_.layers == 1 ? "" : absl::StrCat("layer_", layer);
  }

  Value Embed(Value tokens, const std::string& side, int64_t vocabulary) {
    // As PyTorch's embedding starts.
    const Value e = layers::Embedding(graph_, tokens,
                                      {.name = side + "_embedding",
                                       .rows = vocabulary,
                                       .width = options_.embedding,
                                       .initializer = {.kind = Start::kNormal, .stddev = 1}});
    return options_.dropout == 0
               ? e
               : layers::Dropout(graph_, e, {.name = side + "_dropout", .rate = options_.dropout},
                                 build_.training);
  }

  Value Dense(Value x, const std::string& name, int64_t units,
              ActivationKind activation = ActivationKind::kNone) {
    layers::DenseOptions dense;
    dense.name = name;
    dense.units = units;
    dense.activation = activation;
    return layers::Dense(graph_, x, dense);
  }

  Encoded Encode() {
    const Value e = Embed(in_.source_tokens, "source", build_.translation.source_vocabulary);
    const layers::RecurrentStates read = layers::RecurrentWithEnds(
        graph_, lstm() ? layers::RecurrentCell::kLstm : layers::RecurrentCell::kGru, e,
        in_.source_offsets,
        {.name = "encoder",
         .units = options_.units,
         .layers = options_.layers,
         .bidirectional = options_.bidirectional,
         .dropout = options_.dropout},
        build_.training);
    Encoded encoded = {.states = read.states, .start = read.last, .start_cells = read.last_cells};
    if (options_.bidirectional) {
      Bridge("bridge", ActivationKind::kTanh, encoded.start);
      Bridge("cell_bridge", ActivationKind::kNone, encoded.start_cells);
    }
    return encoded;
  }
  // Makes of what both directions of each layer end with what the decoder's begins with.
  void Bridge(const std::string& name, ActivationKind activation, std::vector<Value>& ends) {
    for (size_t i = 0; i < ends.size(); ++i) {
      const std::string layer = NameOf(static_cast<int64_t>(i) + 1);
      const Graph::Scope scope(graph_, layer.empty() ? "" : name);
      ends[i] = Dense(ends[i], layer.empty() ? name : layer, options_.units, activation);
    }
  }

  // The decoder's parameters, and the attention's, each in the scope of its name.
  Value Weight(absl::string_view name, int64_t in, int64_t out, double fan_in,
               Start kind = Start::kGlorotUniform) {
    return layers::LayerParameters(graph_, false)
        .NamedWeight(name, {in, out}, {.kind = kind}, {fan_in, static_cast<double>(out)});
  }
  // Of all inputs of the first layer's cell, side by side.
  double CellInputs() const {
    const int64_t more = bahdanau() ? memory() : options_.input_feeding ? options_.units : 0;
    return static_cast<double>(options_.embedding + more);
  }
  Value InputWeight(int64_t layer) {
    return layer == 1
               ? Weight("weight", options_.embedding, gates(), CellInputs())
               : Weight("weight", options_.units, gates(), static_cast<double>(options_.units));
  }
  Value FeedWeight() { return Weight("feed_weight", options_.units, gates(), CellInputs()); }
  Value ContextWeight() { return Weight("context_weight", memory(), gates(), CellInputs()); }
  Value RecurrentWeight() {
    return Weight("recurrent_weight", options_.units, gates(), static_cast<double>(options_.units),
                  Start::kOrthogonal);
  }
  Value Bias() { return Vector("bias", gates(), lstm() ? Start::kForgetGate : Start::kZeros); }
  Value RecurrentBias() { return Vector("recurrent_bias", gates(), Start::kZeros); }
  Value Vector(absl::string_view name, int64_t size, Start start) {
    return layers::LayerParameters(graph_, false).Vector(name, size, start);
  }
  Value QueryWeight() {
    return Weight("query_weight", options_.units, options_.units,
                  static_cast<double>(options_.units));
  }
  Value GeneralWeight() {
    return Weight("weight", options_.units, memory(), static_cast<double>(options_.units));
  }
  Value ScoreWeight() {
    return layers::LayerParameters(graph_, false)
        .NamedWeight("score_weight", {options_.units}, {},
                     {static_cast<double>(options_.units), 1});
  }
  // What a decoder's layer is given of the one below.
  Value Given(Value x, int64_t layer) {
    return layer > 1 && build_.training ? engine::Dropout(graph_, x, options_.dropout) : x;
  }
  // What bahdanau's scores are made of, of each token that is looked at.
  Value Keys(Value states) {
    const Graph::Scope scope(graph_, "attention", "additive_attention");
    const Value weight =
        Weight("key_weight", memory(), options_.units, static_cast<double>(memory()));
    return Linear(graph_, states, weight, Vector("bias", options_.units, Start::kZeros));
  }

  std::optional<DecoderAttention> LookedAt(const Encoded& encoded) {
    if (!bahdanau()) {
      return std::nullopt;
    }
    DecoderAttention attention;
    attention.keys = Keys(encoded.states);
    attention.values = encoded.states;
    attention.offsets = in_.source_offsets;
    {
      const Graph::Scope scope(graph_, "attention", "additive_attention");
      attention.query_weight = QueryWeight();
      attention.score_weight = ScoreWeight();
    }
    const Graph::Scope scope(graph_, "decoder", options_.cell);
    const Graph::Scope of_layer(graph_, NameOf(1));
    attention.context_weight = ContextWeight();
    return attention;
  }

  // What luong's attention makes of the decoder's states.
  Value Attentional(Value states, Value source) {
    Value context;
    {
      Graph::Scope scope(graph_, "attention", "attention");
      const Value query = Linear(graph_, states, GeneralWeight(), std::nullopt);
      if (build_.translation.longest_source > 0) {
        Graph::Scope map(graph_, "weights", layers::kAttentionWeightsLayer);
        map.Gives(AttentionWeights(graph_, query, source, in_.offsets, in_.source_offsets,
                                   build_.translation.longest_source, {.scale = 1}));
      }
      context = scope.Gives(
          Attention(graph_, query, source, source, in_.offsets, in_.source_offsets, {.scale = 1}));
    }
    return Dense(engine::Concat(graph_, {states, context}), "combine", options_.units,
                 ActivationKind::kTanh);
  }

  Value Output(Value x) { return Dense(x, "output", build_.vocabulary); }

  // Memory of the store that the encoder's graph fills and steps read.
  Value Memory(absl::string_view name, const Shape& shape) {
    return graph_.Parameter({.name = absl::StrCat(network_, network_.empty() ? "" : ".", "decoder.",
                                                  name, "_of_", shape[0]),
                             .shape = shape,
                             .initializer = {},
                             .role = ParameterRole::kTransient});
  }
  int64_t sentences() const { return graph_.shape(in_.source_offsets)[0] - 1; }
  Value SourceMemory(int64_t rows) { return Memory("memory", {rows, memory()}); }
  Value KeysMemory(int64_t rows) { return Memory("keys", {rows, options_.units}); }
  // Of the decoder's layer of this name.
  Value LayerMemory(const std::string& layer, const std::string& name, int64_t rows) {
    return Memory(layer.empty() ? name : absl::StrCat(layer, ".", name), {rows, options_.units});
  }

  void Leave(const Encoded& encoded) {
    const int64_t rows = graph_.shape(in_.source_tokens)[0];
    graph_.Update(SourceMemory(rows), encoded.states);
    for (size_t i = 0; i < encoded.start.size(); ++i) {
      const std::string layer = NameOf(static_cast<int64_t>(i) + 1);
      graph_.Update(LayerMemory(layer, "start", sentences()), encoded.start[i]);
      if (lstm()) {
        graph_.Update(LayerMemory(layer, "start_cells", sentences()), encoded.start_cells[i]);
      }
    }
    if (bahdanau()) {
      graph_.Update(KeysMemory(rows), Keys(encoded.states));
    }
  }

  // What each row goes on from, of what a layer has kept.
  Value Before(Value kept, const std::string& layer, const std::string& start) {
    return Continued(kept, LayerMemory(layer, start, sentences()));
  }
  Value Continued(Value kept, Value start) {
    return ContinuedRows(graph_, kept, start, in_.ancestors, in_.places, in_.offsets);
  }

  // One token of each row.
  Value Step() {
    const int64_t rows = graph_.shape(in_.tokens)[0], source_rows = build_.translation.source_rows;
    const Value source = SourceMemory(source_rows);
    Value x = Embed(in_.tokens, "target", build_.vocabulary);
    for (int64_t i = 1; i <= options_.layers; ++i) {
      const std::string layer = NameOf(i);
      const Value kept_state = LayerMemory(layer, "state", rows);
      const Value state = Before(kept_state, layer, "start");
      const bool looks = bahdanau() && i == 1;
      const Value context = looks ? LookOf(state, source) : Value{};
      Graph::Scope scope(graph_, "decoder", options_.cell);
      const Graph::Scope of_layer(graph_, layer);
      Value gates = Linear(graph_, Given(x, i), InputWeight(i), Bias());
      if (looks) {
        gates = Sum(graph_, gates, Linear(graph_, context, ContextWeight(), std::nullopt));
      }
      if (options_.input_feeding) {
        const Value nothing = Full(graph_, {sentences(), options_.units}, 0);
        const Value fed = Continued(LayerMemory(layer, "fed", rows), nothing);
        gates = Sum(graph_, gates, Linear(graph_, fed, FeedWeight(), std::nullopt));
      }
      x = scope.Gives(lstm() ? LstmStep(gates, state, layer) : GruStep(gates, state));
      graph_.Update(kept_state, x);
    }
    if (!bahdanau()) {
      x = Attentional(x, source);
    }
    if (options_.input_feeding) {
      graph_.Update(LayerMemory(NameOf(1), "fed", rows), x);
    }
    return Output(x);
  }
  // What a state of bahdanau's sees.
  Value LookOf(Value state, Value source) {
    const int64_t source_rows = build_.translation.source_rows;
    Graph::Scope scope(graph_, "attention", "additive_attention");
    const Value query = Linear(graph_, state, QueryWeight(), std::nullopt);
    const AttentionResult looked =
        AdditiveAttention(graph_, query, KeysMemory(source_rows), source, ScoreWeight(),
                          in_.offsets, in_.source_offsets, build_.translation.longest_source);
    if (looked.weights.valid()) {
      Graph::Scope map(graph_, "weights", layers::kAttentionWeightsLayer);
      map.Gives(looked.weights);
    }
    return scope.Gives(looked.mixed);
  }
  Value Gate(Value all, int64_t gate) {
    return Slice(graph_, all, gate * options_.units, (gate + 1) * options_.units);
  }
  Value Function(Value x, ActivationKind kind) { return engine::Activation(graph_, x, kind); }

  // (1 − z) n + z h = n + z (h − n)
  Value GruStep(Value gates, Value state) {
    const Value product = Linear(graph_, state, RecurrentWeight(), RecurrentBias());
    const auto sigmoid = [&](int64_t gate) {
      return Function(Sum(graph_, Gate(gates, gate), Gate(product, gate)),
                      ActivationKind::kSigmoid);
    };
    const Value reset = sigmoid(0), update = sigmoid(1);
    const Value candidate = Function(
        Sum(graph_, Gate(gates, 2), Mul(graph_, reset, Gate(product, 2))), ActivationKind::kTanh);
    const Value difference = Sum(graph_, state, ScaleBy(graph_, candidate, graph_.Constant(-1)));
    return Sum(graph_, candidate, Mul(graph_, update, difference));
  }

  // h' = σ(o) tanh(c'), c' = σ(f) c + σ(i) tanh(g)
  Value LstmStep(Value gates, Value state, const std::string& layer) {
    const Value kept_cells = LayerMemory(layer, "cells", graph_.shape(state)[0]);
    const Value cells = Before(kept_cells, layer, "start_cells");
    const Value all = Sum(graph_, gates, Linear(graph_, state, RecurrentWeight(), std::nullopt));
    const auto gate = [&](int64_t number, ActivationKind kind) {
      return Function(Gate(all, number), kind);
    };
    const Value in = gate(0, ActivationKind::kSigmoid), forget = gate(1, ActivationKind::kSigmoid);
    const Value candidate = gate(2, ActivationKind::kTanh);
    const Value next = Sum(graph_, Mul(graph_, forget, cells), Mul(graph_, in, candidate));
    graph_.Update(kept_cells, next);
    return Mul(graph_, gate(3, ActivationKind::kSigmoid), Function(next, ActivationKind::kTanh));
  }

  Graph& graph_;
  const Seq2SeqOptions& options_;
  const TranslationInputs& in_;
  const BuildOptions& build_;
  const std::string network_;  // the scope around it
};

}  // namespace

absl::StatusOr<Value> Seq2Seq(Graph& graph, const nlohmann::json& json,
                              const std::vector<NamedValue>& inputs, const BuildOptions& build) {
  HONE_ASSIGN_OR_RETURN(const Seq2SeqOptions options, Read(json));
  HONE_ASSIGN_OR_RETURN(const TranslationInputs in, TranslationInputsOf(inputs, build));
  return Builder(graph, options, in, build).Build();
}

}  // namespace hone::engine::models
