#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/layers/dense.h"
#include "engine/ops/positions.h"
#include "engine/ops/segment_pool.h"

// Layers that read the offsets of sequences (tensor/token_rows.h).
namespace hone::engine::layers {

enum class RecurrentCell { kSimpleRnn, kLstm, kGru };

// Where a recurrent layer goes on from run to run: what sequences begin with, and where they leave
// what they end with, is the row of the layer's state that `rows` says (ops/new_tokens.h,
// StateRow). The states are `NAME.stateSUFFIX` and, of an LSTM, `NAME.cellsSUFFIX` [count, units],
// of `role` (kTransient, or kBuffer for those that files keep). No gradient goes through them.
struct CarriedState {
  Value rows = {};    // s32 [sequences]; not valid: nothing is carried
  int64_t count = 0;  // rows of the states
  ParameterRole role = ParameterRole::kTransient;
  std::string suffix = {};
};

// What a run has of texts that are written: the newest tokens of each, `offsets` s32 [texts + 1]
// and the tokens' `places` s32 [rows] (ops/continued_attention.h). What was before is kept in rows
// of state, a row for each text of at most `window` tokens, and in no file.
struct NewTokens {
  int64_t window = 0;
  Value offsets = {};
  Value places = {};
};

struct RecurrentOptions {
  std::string name = {};
  bool frozen = false;
  int64_t units = 0;
  int64_t layers = 1;             // one on top of the other
  bool bidirectional = false;     // each layer twice, the second from the last token to the first
  bool return_sequences = false;  // a row for each token; else one for each sequence
  float dropout = 0;              // share of what a layer gives to the next one that is set to zero
  WeightInitializer initializer = {};  // of `weight`
  // Of kGru: the reset behind the product with the state, as PyTorch has it; else before it, as the
  // first paper has it and old Keras models (ops/recurrence.h).
  bool reset_after = true;
};

// Token rows [rows, in] → [rows, n], or [batch, n] from the state that each direction ends with: n
// is `units`, twice that if bidirectional (forward, then backward). A sequence without tokens ends
// with zeros. Parameters of each layer and direction, with the gates' blocks in the order of
// ops/recurrence.h:
//   weight [in, gates · units]; recurrent_weight [units, gates · units], orthogonal at first;
//   bias [gates · units], at first zeros, and of an LSTM's forget gate ones (Jozefowicz et al.,
//   2015, "An Empirical Exploration of Recurrent Network Architectures");
//   of kGru with reset_after recurrent_bias [3 units], zeros at first.
// Their names are NAME.weight, …; of several layers NAME.layer_2.weight, counted from 1; of two
// directions NAME.forward.weight and NAME.backward.weight.
// Where state is carried: INVALID_ARGUMENT of a bidirectional layer.
Value Recurrent(Graph& graph, RecurrentCell cell, Value x, Value offsets,
                const RecurrentOptions& options, bool training, const CarriedState& carried = {});
// The same layer where both are wanted, as of an encoder.
struct RecurrentStates {
  Value states;  // [rows, n]
  // Of each layer, the lowest first.
  std::vector<Value> last;        // [batch, n]
  std::vector<Value> last_cells;  // [batch, n]: an LSTM's c that belongs to `last`; else none
};
RecurrentStates RecurrentWithEnds(Graph& graph, RecurrentCell cell, Value x, Value offsets,
                                  const RecurrentOptions& options, bool training);

struct Conv1dOptions {
  std::string name = {};
  bool frozen = false;
  int64_t filters = 0;
  int64_t kernel = 0;  // tokens that a result sees
  bool causal =
      false;  // itself and those before it; else as many to either side, the odd one behind
  ActivationKind activation = ActivationKind::kNone;
  bool use_bias = true;
  WeightInitializer initializer = {};
};

// Token rows [rows, in] → [rows, filters]: a convolution along each sequence, zeros around it.
// `NAME.weight` [kernel · in, filters], the first token's rows first, and `NAME.bias` [filters].
Value Conv1d(Graph& graph, Value x, Value offsets, const Conv1dOptions& options);

struct AttentionOptions {
  std::string name = {};
  bool frozen = false;
  int64_t heads = 1;
  int64_t kv_heads = 0;  // 0: as many
  bool causal = false;   // a token sees itself and those before it
  int64_t window = 0;    // of a causal one: above 0, so many tokens at most, itself among them
  float dropout = 0;     // share of the weights that are set to zero
  bool rotary = false;   // queries and keys are turned by their places
  float rotary_base = 10000;
  RotaryScaling rotary_scaling = {};
  bool alibi =
      false;  // instead: scores fall with the distance between two tokens (ops/attention.h)
  bool use_bias = true;
  std::optional<bool> output_bias = {};  // of the last product; else the same
  WeightInitializer initializer = {};
  std::optional<WeightInitializer> output_initializer = {};  // of the last product; else the same
  bool transposed = false;  // the weights are [out, in], as in Hugging Face's files
  int64_t head_width = 0;   // numbers of a head; 0: width / heads
  // Above 0: the numbers of each head of queries and keys are divided by their root mean square
  // before they are turned, with this under the root, and have a scale each.
  float head_norm_epsilon = 0;
};

// Each token of [rows, width] to those of its own sequence (ops/attention.h): queries, keys and
// values are products of x, and so is the result of all heads together, [rows, width]. `NAME.query`
// and `NAME.output` have `.weight` [width, width] and `.bias` [width], `NAME.key` and `NAME.value`
// `.weight` [width, kv_heads · width / heads]; with a head_width that takes the place of width /
// heads, so that the heads together may be wider than x. With head_norm_epsilon there are
// `NAME.query_norm.weight` and `NAME.key_norm.weight` [width of a head].
Value Attention(Graph& graph, Value x, Value offsets, const AttentionOptions& options,
                bool training);
// The same layer of texts that are written token by token: each row of x is the newest token of a
// sequence of its own, at its `places` s32 [rows], and keys and values of those before it are kept
// from run to run, in `NAME.keys` and `NAME.values` [rows, window, kv_heads · width / heads], which
// are memory of that many rows (`NAME.keys_of_8`) and in no file. Causal attention only:
// UNIMPLEMENTED otherwise. `ancestors` as ops/cached_attention.h has them, where texts go on from
// others.
Value AttentionStep(Graph& graph, Value x, Value places, int64_t window,
                    const AttentionOptions& options, std::optional<Value> ancestors = std::nullopt);
// The same where a text has any number of new tokens, x [rows, width].
Value AttentionOfNewTokens(Graph& graph, Value x, const NewTokens& tokens,
                           const AttentionOptions& options);

// Attention of a text's tokens to those of another one, with the parameters of Attention; `causal`,
// `window`, `rotary` and `alibi` mean nothing. First the keys and values of the other text's [key
// rows, width], then what the tokens of x [rows, width] see. Above 0, `longest` adds a layer
// `NAME.weights` that nothing depends on, of kind kAttentionWeightsLayer: ops/attention_weights.h.
struct CrossKeys {
  Value keys, values;  // [key rows, kv_heads · width / heads]
};
inline constexpr absl::string_view kAttentionWeightsLayer = "attention_weights";
CrossKeys CrossAttentionKeys(Graph& graph, Value x, const AttentionOptions& options);
Value CrossAttention(Graph& graph, Value x, const CrossKeys& of_other, Value offsets,
                     Value key_offsets, const AttentionOptions& options, bool training,
                     int64_t longest = 0);

struct PositionsOptions {
  enum class Kind { kLearned, kSinusoidal };
  std::string name = {};
  bool frozen = false;
  Kind kind = Kind::kLearned;
  int64_t length = 0;  // of kLearned: a run fails where a sequence has more tokens
  WeightInitializer initializer = {.kind = Initializer::Kind::kNormal, .stddev = 0.05f};
};

// x [rows, width] + what stands for each token's place in its sequence: a row of `NAME.weight`
// [length, width], or sines and cosines (ops/positions.h).
Value Positions(Graph& graph, Value x, Value offsets, const PositionsOptions& options);
// The same where each row's place is given, s32 [rows].
Value PositionsStep(Graph& graph, Value x, Value places, const PositionsOptions& options);

struct SequencePoolOptions {
  std::string name = {};
  SegmentPoolKind kind = SegmentPoolKind::kMean;
};

// Token rows [rows, width] → [batch, width].
Value SequencePool(Graph& graph, Value x, Value offsets, const SequencePoolOptions& options);

}  // namespace hone::engine::layers
