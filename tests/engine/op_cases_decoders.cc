#include <numeric>

#include "absl/strings/str_cat.h"
#include "engine/ops/additive_attention.h"
#include "engine/ops/attention_weights.h"
#include "engine/ops/cached_attention.h"
#include "engine/ops/continued_rows.h"
#include "engine/ops/embedding.h"
#include "engine/ops/feeding_decoder.h"
#include "engine/ops/guessed_tokens.h"
#include "engine/ops/recurrence.h"
#include "engine/ops/recurrent_decoder.h"
#include "engine/ops/scale.h"
#include "tests/engine/op_case.h"

// Ops of nets that write one text and look at another: sequences of one token and of none on either
// side, and rows that belong to no sequence.
namespace hone::engine {
namespace {

struct Pairs {
  std::string name;
  std::vector<int> lengths, keys;  // tokens of each sequence, and of that which it looks at
  int behind;                      // rows behind the last sequence, on both sides

  int64_t batch() const { return static_cast<int64_t>(lengths.size()); }
  int64_t rows() const { return std::accumulate(lengths.begin(), lengths.end(), behind); }
  int64_t key_rows() const { return std::accumulate(keys.begin(), keys.end(), behind); }
};

const Pairs kPairs[] = {
    {"one_token", {1}, {1}, 0},
    {"odd_lengths", {3, 1, 7, 2, 5}, {4, 9, 1, 1, 6}, 6},
    {"empty_ones", {0, 4, 0, 2, 1, 0}, {3, 0, 0, 5, 2, 1}, 3},
    {"all_empty", {0, 0}, {0, 2}, 4},
    {"for_two_threads", {40, 1, 55, 20, 90}, {7, 12, 9, 30, 2}, 4},
};

// Smaller by so much that rounding errors do not grow from step to step.
Value Small(CaseBuilder& b, const Shape& shape) {
  const double inputs = static_cast<double>(shape[0]);
  return ScaleBy(b.graph, b.Parameter(shape), b.graph.Constant(1 / inputs));
}

struct DecoderSizes {
  int64_t units;
  int64_t keys = 0;  // 0: no attention
  int64_t values = 0;
};

OpCase DecoderCase(const std::string& name, const Pairs& pairs, const DecoderSizes& sizes) {
  return {.name = absl::StrCat(name, "_decoder_", pairs.name, "_", sizes.units, "_", sizes.keys,
                               "_", sizes.values),
          .build =
              [=](CaseBuilder& b) {
                const int64_t gates = sizes.units * (name == "lstm" ? 4 : 3);
                const Value x = b.Input({pairs.rows(), gates});
                const Value weight = Small(b, {sizes.units, gates});
                const Value start = b.Input({pairs.batch(), sizes.units});
                const Value offsets = b.Offsets(pairs.lengths);
                std::optional<DecoderAttention> attention;
                if (sizes.keys > 0) {
                  attention = {.keys = b.Input({pairs.key_rows(), sizes.keys}),
                               .values = b.Input({pairs.key_rows(), sizes.values}),
                               .query_weight = Small(b, {sizes.units, sizes.keys}),
                               .score_weight = Small(b, {sizes.keys}),
                               .context_weight = Small(b, {sizes.values, gates}),
                               .offsets = b.Offsets(pairs.keys)};
                }
                const Value y =
                    name == "lstm"
                        ? LstmDecoder(b.graph, x, weight, start,
                                      b.Input({pairs.batch(), sizes.units}), offsets, attention)
                        : GruDecoder(b.graph, x, weight, b.Parameter({gates}), start, offsets,
                                     attention);
                return CaseOutputs{{y}, {}};
              },
          .f32_tolerance = 2e-5};
}

OpCase FeedingDecoderCase(const std::string& name, const Pairs& pairs, int64_t units,
                          int64_t values) {
  return {.name = absl::StrCat(name, "_feeding_decoder_", pairs.name, "_", units, "_", values),
          .build =
              [=](CaseBuilder& b) {
                const int64_t gates = units * (name == "lstm" ? 4 : 3);
                const Value x = b.Input({pairs.rows(), gates});
                const Value weight = Small(b, {units, gates});
                const Value start = b.Input({pairs.batch(), units});
                const Value offsets = b.Offsets(pairs.lengths);
                const FeedingAttention attention = {
                    .values = b.Input({pairs.key_rows(), values}),
                    .query_weight = Small(b, {units, values}),
                    .combine_weight = Small(b, {units + values, units}),
                    .combine_bias = b.Parameter({units}),
                    .feed_weight = Small(b, {units, gates}),
                    .offsets = b.Offsets(pairs.keys)};
                const Value y =
                    name == "lstm"
                        ? LstmFeedingDecoder(b.graph, x, weight, start,
                                             b.Input({pairs.batch(), units}), offsets, attention)
                        : GruFeedingDecoder(b.graph, x, weight, b.Parameter({gates}), start,
                                            offsets, attention);
                return CaseOutputs{{y}, {}};
              },
          .f32_tolerance = 2e-5};
}

// The cells of an LSTM, beside its states or alone.
OpCase CellsCase(bool alone, bool reverse) {
  return {.name = absl::StrCat("lstm_cells", alone ? "_alone" : "", reverse ? "_reverse" : ""),
          .build = [=](CaseBuilder& b) {
            const Value x = b.Input({14, 20});
            const Value weight = Small(b, {5, 20});
            const Value y = Lstm(b.graph, x, weight, b.Offsets({3, 0, 7, 1}), {.reverse = reverse});
            const Value cells = CellsOfLstm(b.graph, y);
            return alone ? CaseOutputs{{cells}, {}} : CaseOutputs{{y, cells}, {}};
          }};
}

OpCase AdditiveAttentionCase(const std::string& name, int64_t keys, int64_t values,
                             int64_t longest) {
  return {.name = absl::StrCat("additive_attention_", name), .build = [=](CaseBuilder& b) {
            const Value q = b.Buffer({11, keys}), k = b.Buffer({12, keys});
            const Value v = b.Buffer({12, values}), score = b.Buffer({keys});
            const Value offsets = b.Offsets({4, 1, 0, 5}), key_offsets = b.Offsets({2, 0, 3, 6});
            const AttentionResult result =
                AdditiveAttention(b.graph, q, k, v, score, offsets, key_offsets, longest);
            CaseOutputs outputs = {{}, {result.mixed}};
            if (longest > 0) {
              outputs.not_differentiated.push_back(result.weights);
            }
            return outputs;
          }};
}

OpCase AttentionWeightsCase(int64_t heads, int64_t dim, float scale) {
  return {.name = absl::StrCat("attention_weights_", heads, "_of_", dim),
          .build = [=](CaseBuilder& b) {
            const Value q = b.Buffer({9, heads * dim}), k = b.Buffer({11, heads * dim});
            const Value offsets = b.Offsets({4, 0, 3, 1}), key_offsets = b.Offsets({2, 5, 3, 0});
            return CaseOutputs{{},
                               {AttentionWeights(b.graph, q, k, offsets, key_offsets, 6,
                                                 {.heads = heads, .scale = scale})}};
          }};
}

// Rows of `rows` for each row and place.
Value Ancestors(CaseBuilder& b, int64_t rows, int64_t places) {
  const Value value = b.graph.Input("ancestors", {{rows, places}, DType::kS32});
  for (int64_t i = 0; i < rows * places; ++i) {
    b.numbers["ancestors"].push_back(static_cast<float>((i * 5 + 2) % rows));
  }
  return value;
}

// At all places, the first one among them; one row belongs to no sequence.
OpCase ContinuedRowsCase() {
  return {.name = "continued_rows", .build = [](CaseBuilder& b) {
            const Value states = b.Buffer({8, 5}), start = b.Buffer({4, 5});
            const Value ancestors = Ancestors(b, 8, 4);
            return CaseOutputs{{},
                               {ContinuedRows(b.graph, states, start, ancestors, b.Labels(8, 4),
                                              b.Offsets({2, 0, 4, 1}))}};
          }};
}

// Read by a lookup; one sequence has no token, one has one, and two rows belong to none.
OpCase GuessedTokensCase(const std::string& name, float share) {
  return {.name = absl::StrCat("guessed_tokens_", name), .build = [=](CaseBuilder& b) {
            const Value tokens = b.Labels(13, 9), logits = b.Buffer({13, 9});
            const Value offsets = b.Offsets({4, 0, 1, 6});
            const Value given = b.graph.Input("share", {Shape{}, DType::kF32});
            b.numbers["share"] = {share};
            const Value guessed = GuessedTokens(b.graph, tokens, logits, offsets, given);
            return CaseOutputs{{Embedding(b.graph, b.Parameter({9, 3}), guessed)}, {}};
          }};
}

OpCase CachedAttentionOfBeams(int64_t window) {
  return {.name = absl::StrCat("cached_attention_of_beams_", window), .build = [=](CaseBuilder& b) {
            const Value keys = b.Buffer({6, 7, 10}), values = b.Buffer({6, 7, 10});
            const Value q = b.Buffer({6, 10});
            const Value ancestors = Ancestors(b, 6, 7);
            return CaseOutputs{{},
                               {CachedAttention(b.graph, q, keys, values, b.Labels(6, 7),
                                                {.heads = 2, .window = window}, ancestors)}};
          }};
}

}  // namespace

std::vector<OpCase> DecoderCases() {
  std::vector<OpCase> cases;
  for (const std::string name : {"gru", "lstm"}) {
    for (const Pairs& pairs : kPairs) {
      cases.push_back(DecoderCase(name, pairs, {.units = 5, .keys = 7, .values = 3}));
    }
    cases.push_back(DecoderCase(name, kPairs[1], {.units = 1, .keys = 1, .values = 1}));
    cases.push_back(DecoderCase(name, kPairs[1], {.units = 16, .keys = 64, .values = 32}));
    cases.push_back(DecoderCase(name, kPairs[2], {.units = 20}));
    cases.push_back(DecoderCase(name, kPairs[4], {.units = 20, .keys = 9, .values = 18}));
    // More sequences than a tile has rows, and more columns than a panel has.
    const Pairs many = {
        "many", {2, 3, 1, 2, 2, 3, 1, 0, 2, 2, 1}, {1, 2, 3, 0, 1, 2, 3, 2, 1, 2, 3}, 2};
    cases.push_back(DecoderCase(name, many, {.units = 70, .keys = 33, .values = 66}));
    for (const Pairs& pairs : kPairs) {
      cases.push_back(FeedingDecoderCase(name, pairs, 5, 3));
    }
    cases.push_back(FeedingDecoderCase(name, kPairs[1], 1, 1));
    cases.push_back(FeedingDecoderCase(name, kPairs[1], 16, 32));
    cases.push_back(FeedingDecoderCase(name, many, 70, 66));
  }
  for (const bool reverse : {false, true}) {
    cases.push_back(CellsCase(false, reverse));
    cases.push_back(CellsCase(true, reverse));
  }
  cases.push_back(AdditiveAttentionCase("alone", 5, 3, 0));
  cases.push_back(AdditiveAttentionCase("with_weights", 33, 70, 6));
  cases.push_back(AttentionWeightsCase(1, 5, 0.5f));
  cases.push_back(AttentionWeightsCase(3, 8, 0));
  cases.push_back(ContinuedRowsCase());
  cases.push_back(GuessedTokensCase("none", 0));
  cases.push_back(GuessedTokensCase("some", 0.5f));
  cases.push_back(GuessedTokensCase("all", 1));
  cases.push_back(CachedAttentionOfBeams(0));
  cases.push_back(CachedAttentionOfBeams(3));
  return cases;
}

}  // namespace hone::engine
