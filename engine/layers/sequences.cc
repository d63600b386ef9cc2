#include "engine/layers/sequences.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/graph/sum.h"
#include "engine/layers/parameters.h"
#include "engine/layers/product.h"
#include "engine/ops/attention.h"
#include "engine/ops/attention_weights.h"
#include "engine/ops/cached_attention.h"
#include "engine/ops/concat.h"
#include "engine/ops/continued_attention.h"
#include "engine/ops/dropout.h"
#include "engine/ops/embedding.h"
#include "engine/ops/linear.h"
#include "engine/ops/new_tokens.h"
#include "engine/ops/positions.h"
#include "engine/ops/recurrence.h"
#include "engine/ops/reshape.h"
#include "engine/ops/rms_norm.h"
#include "engine/ops/token_windows.h"
#include "engine/ops/write_at.h"

namespace hone::engine::layers {
namespace {

using Start = Initializer::Kind;

absl::string_view NameOf(RecurrentCell cell) {
  switch (cell) {
    case RecurrentCell::kLstm:
      return "lstm";
    case RecurrentCell::kGru:
      return "gru";
    default:
      return "simple_rnn";
  }
}

int64_t GatesOf(RecurrentCell cell) {
  return cell == RecurrentCell::kLstm ? 4 : cell == RecurrentCell::kGru ? 3 : 1;
}

// One of the states that a layer carries, in the scope that the graph is in.
Value StateOf(Graph& graph, const CarriedState& carried, absl::string_view name, int64_t units) {
  return graph.Parameter({.name = absl::StrCat(graph.scope(), ".", name, carried.suffix),
                          .shape = {carried.count, units},
                          .initializer = {},
                          .role = carried.role});
}

// A layer in one direction, in the scope that the graph is in.
Value Direction(Graph& graph, RecurrentCell cell, Value x, Value offsets,
                const RecurrentOptions& options, bool reverse, const CarriedState& carried) {
  const int64_t in = graph.shape(x).back(), columns = GatesOf(cell) * options.units;
  const LayerParameters parameters(graph, options.frozen);
  const Value weight = parameters.Weight({in, columns}, options.initializer,
                                         {static_cast<double>(in), static_cast<double>(columns)});
  const Value recurrent = parameters.NamedWeight(
      "recurrent_weight", {options.units, columns}, {.kind = Start::kOrthogonal},
      {static_cast<double>(options.units), static_cast<double>(columns)});
  const Value bias = parameters.Vector(
      "bias", columns, cell == RecurrentCell::kLstm ? Start::kForgetGate : Start::kZeros);
  const Value gates = Linear(graph, x, weight, bias);
  RecurrenceOptions steps = {.reverse = reverse};
  const bool has_cells = cell == RecurrentCell::kLstm, carries = carried.rows.valid();
  Value state, cells;
  if (carries) {
    state = StateOf(graph, carried, "state", options.units);
    steps.start = CarriedStart(graph, state, carried.rows);
  }
  if (carries && has_cells) {
    cells = StateOf(graph, carried, "cells", options.units);
    steps.start_cells = CarriedStart(graph, cells, carried.rows);
  }
  Value states;
  if (has_cells) {
    states = Lstm(graph, gates, recurrent, offsets, steps);
  } else if (cell == RecurrentCell::kGru && !options.reset_after) {
    states = GruResetFirst(graph, gates, recurrent, offsets, steps);
  } else if (cell == RecurrentCell::kGru) {
    const Value of_states = parameters.Vector("recurrent_bias", columns, Start::kZeros);
    states = Gru(graph, gates, recurrent, of_states, offsets, steps);
  } else {
    states = SimpleRnn(graph, gates, recurrent, offsets, steps);
  }
  if (carries) {
    graph.Update(state, CarriedEnd(graph, state, states, offsets, carried.rows));
  }
  if (carries && has_cells) {
    graph.Update(cells,
                 CarriedEnd(graph, cells, CellsOfLstm(graph, states), offsets, carried.rows));
  }
  return states;
}

// One of attention's products.
ProductOptions Projection(const AttentionOptions& options, absl::string_view name, int64_t units) {
  return {.name = std::string(name),
          .units = units,
          .use_bias = options.use_bias,
          .initializer = options.initializer,
          .transposed = options.transposed,
          .frozen = options.frozen};
}

// The last one, of what the heads saw.
Value Output(Graph& graph, const AttentionOptions& options, Value all, int64_t width) {
  ProductOptions output = Projection(options, "output", width);
  output.use_bias = options.output_bias.value_or(options.use_bias);
  output.initializer = options.output_initializer.value_or(options.initializer);
  return Product(graph, all, output);
}

int64_t KvHeads(const AttentionOptions& options) {
  return options.kv_heads == 0 ? options.heads : options.kv_heads;
}

// Numbers of a head; 0, and the graph has failed, where heads do not divide what they must.
int64_t HeadWidth(Graph& graph, int64_t width, const AttentionOptions& options) {
  const int64_t kv_heads = KvHeads(options);
  if (options.heads < 1 || kv_heads < 1 || options.heads % kv_heads != 0 ||
      (options.head_width == 0 && width % options.heads != 0)) {
    graph.Fail(absl::InvalidArgumentError(
        absl::StrCat(graph.scope(), ": heads must divide its input's width ", width,
                     ", and kv_heads must divide heads, got ", options.heads, " and ", kv_heads)));
    return 0;
  }
  return options.head_width > 0 ? options.head_width : width / options.heads;
}

// Each head's numbers by their root mean square, of queries or keys [rows, heads · dim].
Value NormOfHeads(Graph& graph, const AttentionOptions& options, absl::string_view name, Value x,
                  int64_t dim) {
  const Graph::Scope of_norm(graph, name);
  const Shape shape = graph.shape(x);
  const Value scale =
      LayerParameters(graph, options.frozen).Vector("weight", dim, Initializer::Kind::kOnes);
  const Value heads = Reshape(graph, x, Shape({shape.elements() / dim, dim}));
  return Reshape(graph, engine::RmsNorm(graph, heads, scale, options.head_norm_epsilon), shape);
}

// What both of a layer's forms have in common, in the scope that the graph is in. `places` of the
// tokens are made where positions are rotary; `mix` makes all heads of queries, keys, values and
// the number of their heads.
template <typename Places, typename Mix>
Value AttentionOf(Graph& graph, Value x, const AttentionOptions& options, Places&& places,
                  Mix&& mix) {
  const int64_t width = graph.shape(x).back(), kv_heads = KvHeads(options);
  const int64_t dim = HeadWidth(graph, width, options);
  if (dim == 0) {
    return x;
  }
  if (options.rotary && dim % 2 != 0) {
    return graph.Fail(absl::InvalidArgumentError(absl::StrCat(
        graph.scope(), ": with rotary positions a head must have an even count of numbers, got ",
        dim)));
  }
  if (options.rotary && options.alibi) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat(graph.scope(), ": must have rotary or alibi, got both")));
  }
  const std::vector<Value> products = Products(
      graph, x,
      {Projection(options, "query", options.heads * dim),
       Projection(options, "key", kv_heads * dim), Projection(options, "value", kv_heads * dim)});
  Value query = products[0], key = products[1];
  const Value value = products[2];
  if (options.head_norm_epsilon > 0) {
    query = NormOfHeads(graph, options, "query_norm", query, dim);
    key = NormOfHeads(graph, options, "key_norm", key, dim);
  }
  if (options.rotary) {
    const Value at = places();
    query = Rotary(graph, query, at, options.heads, options.rotary_base, options.rotary_scaling);
    key = Rotary(graph, key, at, kv_heads, options.rotary_base, options.rotary_scaling);
  }
  const Value all = mix(query, key, value, kv_heads);
  return Output(graph, options, all, width);
}

// Texts that a cache has rows for, and the tokens of each.
struct CacheSize {
  int64_t texts;
  int64_t window;
};

// Attention to what a cache holds. `keep` gives a state [texts, window, n] with the new rows [rows,
// n] written into it, `attend` what queries see of keys and values.
template <typename Keep, typename Attend>
Value CachedAttentionLayer(Graph& graph, Value x, const CacheSize& size, Value places,
                           const AttentionOptions& options, Keep&& keep, Attend&& attend) {
  Graph::Scope scope(graph, options.name, "attention");
  if (!options.causal) {
    return graph.Fail(absl::UnimplementedError(
        absl::StrCat(graph.scope(), ": only causal attention goes on with a text token by token")));
  }
  const auto mix = [&](Value query, Value key, Value value, int64_t kv_heads) {
    const auto kept = [&](absl::string_view name, Value rows) {
      const Value state =
          graph.Parameter({.name = absl::StrCat(graph.scope(), ".", name, "_of_", size.texts),
                           .shape = {size.texts, size.window, graph.shape(rows)[1]},
                           .initializer = {},
                           .role = ParameterRole::kTransient});
      const Value written = keep(state, rows);
      graph.Update(state, written);
      return written;
    };
    const Value keys = kept("keys", key), values = kept("values", value);
    return attend(query, keys, values,
                  CachedAttentionOptions{.heads = options.heads,
                                         .kv_heads = kv_heads,
                                         .window = options.window,
                                         .alibi = options.alibi});
  };
  return scope.Gives(AttentionOf(
      graph, x, options, [&] { return places; }, mix));
}

Value PositionsOf(Graph& graph, Value x, Value places, const PositionsOptions& options) {
  const int64_t width = graph.shape(x).back();
  if (options.kind == PositionsOptions::Kind::kSinusoidal) {
    return Sum(graph, x, Sinusoids(graph, places, width));
  }
  if (options.length < 1) {
    return graph.Fail(absl::InvalidArgumentError(
        absl::StrCat(graph.scope(), ": length must be at least 1, got ", options.length)));
  }
  const Value table =
      LayerParameters(graph, options.frozen)
          .Weight({options.length, width}, options.initializer,
                  {static_cast<double>(options.length), static_cast<double>(width)});
  return Sum(graph, x, engine::Embedding(graph, table, places));
}

// Rows of both directions side by side.
Value Joined(Graph& graph, const std::vector<Value>& directions) {
  return directions.size() > 1 ? Concat(graph, directions) : directions[0];
}

// The states of each layer, the lowest first, of each direction, in the scope that the graph is in.
std::vector<std::vector<Value>> StatesOfLayers(Graph& graph, RecurrentCell cell, Value x,
                                               Value offsets, const RecurrentOptions& options,
                                               bool training, const CarriedState& carried) {
  const auto failed = [&](const std::string& what) {
    const Value none =
        graph.Fail(absl::InvalidArgumentError(absl::StrCat(graph.scope(), ": ", what)));
    return std::vector(static_cast<size_t>(std::max<int64_t>(options.layers, 1)),
                       std::vector<Value>(1, none));
  };
  for (const auto& [field, value] :
       {std::pair{"units", options.units}, std::pair{"layers", options.layers}}) {
    if (value < 1) {
      return failed(absl::StrCat(field, " must be at least 1, got ", value));
    }
  }
  if (!(options.dropout >= 0 && options.dropout < 1)) {
    return failed(absl::StrCat("dropout must be at least 0 and below 1, got ", options.dropout));
  }
  if (graph.shape(x).rank() != 2) {
    return failed(absl::StrCat("its input must be a row of numbers for each token, got ",
                               graph.shape(x).ToString()));
  }
  if (carried.rows.valid() && options.bidirectional) {
    return failed("it is bidirectional, so that what it begins with is behind what it has read");
  }
  std::vector<std::vector<Value>> layers;
  for (int64_t layer = 1; layer <= options.layers; ++layer) {
    const Graph::Scope of_layer(graph, options.layers > 1 ? absl::StrCat("layer_", layer) : "");
    if (layer > 1) {
      x = Joined(graph, layers.back());
      x = training ? engine::Dropout(graph, x, options.dropout) : x;
    }
    std::vector<Value>& directions = layers.emplace_back();
    for (const bool reverse : {false, true}) {
      if (!reverse || options.bidirectional) {
        const Graph::Scope of_direction(graph, !options.bidirectional ? ""
                                               : reverse              ? "backward"
                                                                      : "forward");
        directions.push_back(Direction(graph, cell, x, offsets, options, reverse, carried));
      }
    }
  }
  return layers;
}

// What each direction ends with.
Value Ends(Graph& graph, std::vector<Value> directions, Value offsets) {
  for (size_t i = 0; i < directions.size(); ++i) {
    directions[i] = SegmentPool(graph, directions[i], offsets,
                                i == 0 ? SegmentPoolKind::kLast : SegmentPoolKind::kFirst);
  }
  return Joined(graph, directions);
}

}  // namespace

Value Recurrent(Graph& graph, RecurrentCell cell, Value x, Value offsets,
                const RecurrentOptions& options, bool training, const CarriedState& carried) {
  Graph::Scope scope(graph, options.name, NameOf(cell));
  const std::vector<Value> directions =
      StatesOfLayers(graph, cell, x, offsets, options, training, carried).back();
  return scope.Gives(options.return_sequences ? Joined(graph, directions)
                                              : Ends(graph, directions, offsets));
}

RecurrentStates RecurrentWithEnds(Graph& graph, RecurrentCell cell, Value x, Value offsets,
                                  const RecurrentOptions& options, bool training) {
  Graph::Scope scope(graph, options.name, NameOf(cell));
  const std::vector<std::vector<Value>> layers =
      StatesOfLayers(graph, cell, x, offsets, options, training, {});
  RecurrentStates result = {
      .states = scope.Gives(Joined(graph, layers.back())), .last = {}, .last_cells = {}};
  for (const std::vector<Value>& directions : layers) {
    result.last.push_back(Ends(graph, directions, offsets));
    if (cell == RecurrentCell::kLstm) {
      std::vector<Value> cells;
      for (const Value states : directions) {
        cells.push_back(CellsOfLstm(graph, states));
      }
      result.last_cells.push_back(Ends(graph, cells, offsets));
    }
  }
  return result;
}

Value Conv1d(Graph& graph, Value x, Value offsets, const Conv1dOptions& options) {
  Graph::Scope scope(graph, options.name, "conv1d");
  for (const auto& [field, value] :
       {std::pair{"filters", options.filters}, std::pair{"kernel", options.kernel}}) {
    if (value < 1) {
      return graph.Fail(absl::InvalidArgumentError(
          absl::StrCat(graph.scope(), ": ", field, " must be at least 1, got ", value)));
    }
  }
  const int64_t before = options.causal ? options.kernel - 1 : (options.kernel - 1) / 2;
  const Value windows = TokenWindows(graph, x, offsets, before, options.kernel - 1 - before);
  const int64_t in = graph.shape(windows).back();
  const LayerParameters parameters(graph, options.frozen);
  const Value weight = parameters.Weight(
      {in, options.filters}, options.initializer,
      {static_cast<double>(in), static_cast<double>(options.kernel * options.filters)});
  const std::optional<Value> bias = parameters.Bias(options.use_bias, options.filters);
  return scope.Gives(Activate(graph, Linear(graph, windows, weight, bias), options.activation));
}

Value Attention(Graph& graph, Value x, Value offsets, const AttentionOptions& options,
                bool training) {
  Graph::Scope scope(graph, options.name, "attention");
  const auto places = [&] { return TokenPlaces(graph, offsets, graph.shape(x)[0]); };
  return scope.Gives(
      AttentionOf(graph, x, options, places, [&](Value query, Value key, Value value, int64_t kv) {
        return engine::Attention(graph, query, key, value, offsets,
                                 {.heads = options.heads,
                                  .kv_heads = kv,
                                  .causal = options.causal,
                                  .window = options.window,
                                  .dropout = training ? options.dropout : 0,
                                  .alibi = options.alibi});
      }));
}

Value AttentionStep(Graph& graph, Value x, Value places, int64_t window,
                    const AttentionOptions& options, std::optional<Value> ancestors) {
  const auto keep = [&](Value state, Value row) {
    const Shape& shape = graph.shape(row);
    return WriteAt(graph, state, Reshape(graph, row, {shape[0], 1, shape[1]}), places, /*axis=*/1);
  };
  const auto attend = [&](Value query, Value keys, Value values,
                          const CachedAttentionOptions& how) {
    return CachedAttention(graph, query, keys, values, places, how, ancestors);
  };
  return CachedAttentionLayer(graph, x, {graph.shape(x)[0], window}, places, options, keep, attend);
}

Value AttentionOfNewTokens(Graph& graph, Value x, const NewTokens& tokens,
                           const AttentionOptions& options) {
  const auto keep = [&](Value state, Value rows) {
    return WriteTokens(graph, state, rows, tokens.offsets, tokens.places);
  };
  const auto attend = [&](Value query, Value keys, Value values,
                          const CachedAttentionOptions& how) {
    return ContinuedAttention(graph, query, keys, values, tokens.offsets, tokens.places, how);
  };
  return CachedAttentionLayer(graph, x, {graph.shape(tokens.offsets)[0] - 1, tokens.window},
                              tokens.places, options, keep, attend);
}

CrossKeys CrossAttentionKeys(Graph& graph, Value x, const AttentionOptions& options) {
  Graph::Scope scope(graph, options.name, "attention");
  const int64_t width = KvHeads(options) * HeadWidth(graph, graph.shape(x).back(), options);
  if (width == 0) {
    return {x, x};
  }
  const std::vector<Value> products =
      Products(graph, x, {Projection(options, "key", width), Projection(options, "value", width)});
  return {scope.Gives(products[0]), products[1]};
}

Value CrossAttention(Graph& graph, Value x, const CrossKeys& of_other, Value offsets,
                     Value key_offsets, const AttentionOptions& options, bool training,
                     int64_t longest) {
  Graph::Scope scope(graph, options.name, "attention");
  const int64_t width = graph.shape(x).back();
  if (HeadWidth(graph, width, options) == 0) {
    return x;
  }
  const Value query = Product(graph, x, Projection(options, "query", width));
  const engine::AttentionOptions op = {.heads = options.heads,
                                       .kv_heads = KvHeads(options),
                                       .dropout = training ? options.dropout : 0};
  if (longest > 0) {
    Graph::Scope map(graph, "weights", kAttentionWeightsLayer);
    map.Gives(AttentionWeights(graph, query, of_other.keys, offsets, key_offsets, longest, op));
  }
  const Value all =
      engine::Attention(graph, query, of_other.keys, of_other.values, offsets, key_offsets, op);
  return scope.Gives(Output(graph, options, all, width));
}

Value Positions(Graph& graph, Value x, Value offsets, const PositionsOptions& options) {
  Graph::Scope scope(graph, options.name, "positions");
  return scope.Gives(
      PositionsOf(graph, x, TokenPlaces(graph, offsets, graph.shape(x)[0]), options));
}

Value PositionsStep(Graph& graph, Value x, Value places, const PositionsOptions& options) {
  Graph::Scope scope(graph, options.name, "positions");
  return scope.Gives(PositionsOf(graph, x, places, options));
}

Value SequencePool(Graph& graph, Value x, Value offsets, const SequencePoolOptions& options) {
  Graph::Scope scope(graph, options.name, "sequence_pool");
  return scope.Gives(SegmentPool(graph, x, offsets, options.kind));
}

}  // namespace hone::engine::layers
