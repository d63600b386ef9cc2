#include <numeric>

#include "absl/strings/str_cat.h"
#include "engine/ops/attention.h"
#include "engine/ops/cached_attention.h"
#include "engine/ops/continued_attention.h"
#include "engine/ops/embedding.h"
#include "engine/ops/embedding_noise.h"
#include "engine/ops/linear.h"
#include "engine/ops/new_tokens.h"
#include "engine/ops/positions.h"
#include "engine/ops/recurrence.h"
#include "engine/ops/scale.h"
#include "engine/ops/segment_pool.h"
#include "engine/ops/token_windows.h"
#include "tests/engine/op_case.h"

// Ops that read offsets: sequences of one token and of none, and rows that belong to no sequence.
namespace hone::engine {
namespace {

struct Sequences {
  std::string name;
  std::vector<int> lengths;
  int behind;  // rows behind the last sequence

  int64_t rows() const { return std::accumulate(lengths.begin(), lengths.end(), behind); }
};

const Sequences kSequences[] = {
    {"one_token", {1}, 0},
    {"odd_lengths", {3, 1, 7, 2, 5}, 6},
    {"empty_ones", {0, 4, 0, 0, 1, 0}, 3},
    {"all_empty", {0, 0}, 4},
    {"for_two_threads", {130, 1, 55, 200, 90}, 4},
};

OpCase SegmentPoolCase(const std::string& name, const Sequences& sequences, int64_t width,
                       SegmentPoolKind kind) {
  return {.name = absl::StrCat("segment_", name, "_", sequences.name, "_", width),
          .build = [=](CaseBuilder& b) {
            const Value x = b.Input({sequences.rows(), width});
            return CaseOutputs{{SegmentPool(b.graph, x, b.Offsets(sequences.lengths), kind)}, {}};
          }};
}

OpCase RecurrenceCase(const std::string& name, const Sequences& sequences, int64_t units,
                      bool reverse, bool starts = false) {
  return {.name = absl::StrCat(name, starts ? "_that_goes_on" : "", reverse ? "_reverse_" : "_",
                               sequences.name, "_", units),
          .build =
              [=](CaseBuilder& b) {
                const int64_t gates = units * (name == "lstm" ? 4 : name == "simple_rnn" ? 1 : 3);
                const Value x = b.Input({sequences.rows(), gates});
                Value weight = b.Parameter({units, gates});
                if (units > 1) {  // small, so that rounding errors do not grow from step to step
                  weight =
                      ScaleBy(b.graph, weight, b.graph.Constant(1 / static_cast<double>(units)));
                }
                const Value offsets = b.Offsets(sequences.lengths);
                RecurrenceOptions options = {.reverse = reverse};
                const auto batch = static_cast<int64_t>(sequences.lengths.size());
                if (starts) {
                  options.start = b.Buffer({batch, units});
                }
                if (starts && name == "lstm") {
                  options.start_cells = b.Buffer({batch, units});
                }
                if (name == "lstm") {
                  return CaseOutputs{{Lstm(b.graph, x, weight, offsets, options)}, {}};
                }
                if (name == "gru") {
                  return CaseOutputs{
                      {Gru(b.graph, x, weight, b.Parameter({gates}), offsets, options)}, {}};
                }
                if (name == "gru_reset_first") {
                  return CaseOutputs{{GruResetFirst(b.graph, x, weight, offsets, options)}, {}};
                }
                return CaseOutputs{{SimpleRnn(b.graph, x, weight, offsets, options)}, {}};
              },
          .bf16_tolerance = 3e-2};  // rounding errors go from step to step
}

OpCase AttentionCase(const std::string& name, const Sequences& sequences, int64_t dim,
                     const AttentionOptions& options) {
  return {.name = absl::StrCat("attention_", name, "_", sequences.name, "_", dim),
          .build = [=](CaseBuilder& b) {
            const int64_t kv_heads = options.kv_heads == 0 ? options.heads : options.kv_heads;
            const Value q = b.Input({sequences.rows(), options.heads * dim});
            const Value k = b.Input({sequences.rows(), kv_heads * dim});
            const Value v = b.Input({sequences.rows(), kv_heads * dim});
            const Value offsets = b.Offsets(sequences.lengths);
            return CaseOutputs{{Attention(b.graph, q, k, v, offsets, options)}, {}};
          }};
}

// Queries of one text to the keys of another: more of them, fewer, and none.
OpCase CrossAttentionCase(const std::string& name, const AttentionOptions& options) {
  return {.name = absl::StrCat("attention_cross_", name), .build = [=](CaseBuilder& b) {
            const int64_t width = options.heads * 9;
            const Value q = b.Input({17, width}), k = b.Input({12, width});
            const Value v = b.Input({12, width});
            const Value offsets = b.Offsets({4, 1, 6, 0, 3}), keys = b.Offsets({2, 5, 0, 1, 3});
            return CaseOutputs{{Attention(b.graph, q, k, v, offsets, keys, options)}, {}};
          }};
}

// Each row's newest token is at another place, the first and the last among them.
OpCase CachedAttentionCase(const std::string& name, int64_t rows, int64_t places, int64_t dim,
                           const CachedAttentionOptions& options) {
  return {.name = absl::StrCat("cached_attention_", name, "_", dim), .build = [=](CaseBuilder& b) {
            const int64_t kv_heads = options.kv_heads == 0 ? options.heads : options.kv_heads;
            const Shape cache = {rows, places, kv_heads * dim};
            const Value keys = b.Buffer(cache), values = b.Buffer(cache);
            const Value q = b.graph.Input("queries", {{rows, options.heads * dim}, DType::kF32});
            for (int64_t i = 0; i < rows * options.heads * dim; ++i) {
              b.numbers["queries"].push_back(static_cast<float>(i * 37 % 64 - 32) / 32);
            }
            return CaseOutputs{
                {}, {CachedAttention(b.graph, q, keys, values, b.Labels(rows, places), options)}};
          }};
}

// An s32 input of such numbers.
Value Numbers(CaseBuilder& b, const std::string& name, const std::vector<float>& numbers) {
  b.numbers[name] = numbers;
  return b.graph.Input(name, {{static_cast<int64_t>(numbers.size())}, DType::kS32});
}

// What is new of texts: of one all, of one nothing, of one a token behind others, of one some.
struct NewTokens {
  std::vector<int> lengths = {5, 0, 1, 4};
  std::vector<float> places = {0, 1, 2, 3, 4, 6, 2, 3, 4, 5, 0, 0};  // two rows of no text
  int64_t texts = 4, place_count = 7, rows = 12;
};

OpCase ContinuedAttentionCase(const std::string& name, int64_t dim,
                              const CachedAttentionOptions& options) {
  return {
      .name = absl::StrCat("continued_attention_", name, "_", dim), .build = [=](CaseBuilder& b) {
        const NewTokens tokens;
        const int64_t kv_heads = options.kv_heads == 0 ? options.heads : options.kv_heads;
        const Shape cache = {tokens.texts, tokens.place_count, kv_heads * dim};
        const Value keys = b.Buffer(cache), values = b.Buffer(cache);
        const Value q = b.Buffer({tokens.rows, options.heads * dim});
        return CaseOutputs{{},
                           {ContinuedAttention(b.graph, q, keys, values, b.Offsets(tokens.lengths),
                                               Numbers(b, "places", tokens.places), options)}};
      }};
}

// All of a prompt that two threads share, and one token behind as many.
OpCase ContinuedAttentionOfAPrompt() {
  return {.name = "continued_attention_of_a_prompt", .build = [](CaseBuilder& b) {
            std::vector<float> places(130);
            std::iota(places.begin(), places.end(), 0.0f);
            places.push_back(130);
            const Shape cache = {2, 140, 4 * 16};
            const Value keys = b.Buffer(cache), values = b.Buffer(cache);
            const Value q = b.Buffer({131, 4 * 16});
            return CaseOutputs{{},
                               {ContinuedAttention(b.graph, q, keys, values, b.Offsets({130, 1}),
                                                   Numbers(b, "places", places), {.heads = 4})}};
          }};
}

OpCase WriteTokensCase() {
  return {.name = "write_tokens", .build = [](CaseBuilder& b) {
            const NewTokens tokens;
            const Value state = b.Buffer({tokens.texts, tokens.place_count, 5});
            const Value part = b.Buffer({tokens.rows, 5});
            return CaseOutputs{{},
                               {WriteTokens(b.graph, state, part, b.Offsets(tokens.lengths),
                                            Numbers(b, "places", tokens.places))}};
          }};
}

// Rows of state of which not all have a sequence: two go on, one begins, one is empty.
OpCase CarriedStateCase(bool end) {
  return {.name = end ? "carried_end" : "carried_start", .build = [=](CaseBuilder& b) {
            const Value state = b.Buffer({6, 5});
            const Value rows = Numbers(b, "rows", {4, -1, 2, 5});
            if (end) {
              return CaseOutputs{
                  {},
                  {CarriedEnd(b.graph, state, b.Buffer({9, 5}), b.Offsets({3, 2, 0, 3}), rows)}};
            }
            return CaseOutputs{{}, {CarriedStart(b.graph, state, rows)}};
          }};
}

// Rows of a table by the tokens' places.
OpCase PlacesCase(const Sequences& sequences) {
  return {.name = absl::StrCat("token_places_", sequences.name), .build = [=](CaseBuilder& b) {
            const Value table = b.Parameter({200, 5});
            const Value offsets = b.Offsets(sequences.lengths);
            return CaseOutputs{
                {Embedding(b.graph, table, TokenPlaces(b.graph, offsets, sequences.rows()))}, {}};
          }};
}

OpCase SinusoidsCase(const Sequences& sequences, int64_t width) {
  return {
      .name = absl::StrCat("sinusoids_", sequences.name, "_", width), .build = [=](CaseBuilder& b) {
        const Value places = TokenPlaces(b.graph, b.Offsets(sequences.lengths), sequences.rows());
        return CaseOutputs{{}, {Sinusoids(b.graph, places, width)}};
      }};
}

OpCase RotaryCase(const Sequences& sequences, int64_t heads, int64_t dim, float base = 10000,
                  const std::string& scaled = "", const RotaryScaling& scaling = {}) {
  return {.name = absl::StrCat("rotary_", sequences.name, "_", heads, "_of_", dim, scaled),
          .build = [=](CaseBuilder& b) {
            const Value x = b.Input({sequences.rows(), heads * dim});
            const Value places =
                TokenPlaces(b.graph, b.Offsets(sequences.lengths), sequences.rows());
            return CaseOutputs{{Rotary(b.graph, x, places, heads, base, scaling)}, {}};
          }};
}

OpCase WindowsCase(const Sequences& sequences, int64_t width, int64_t before, int64_t after) {
  return {.name = absl::StrCat("token_windows_", sequences.name, "_", before, "_", after),
          .build = [=](CaseBuilder& b) {
            const Value x = b.Input({sequences.rows(), width});
            const Value offsets = b.Offsets(sequences.lengths);
            return CaseOutputs{{TokenWindows(b.graph, x, offsets, before, after)}, {}};
          }};
}

OpCase NoiseCase(const Sequences& sequences, int64_t width) {
  return {.name = absl::StrCat("embedding_noise_", sequences.name), .build = [=](CaseBuilder& b) {
            const Value x = b.Input({sequences.rows(), width});
            const Value offsets = b.Offsets(sequences.lengths);
            return CaseOutputs{{EmbeddingNoise(b.graph, x, offsets, 3)}, {}};
          }};
}

OpCase NoiseOfLinear() {
  return {.name = "embedding_noise_of_linear", .build = [](CaseBuilder& b) {
            const Value x =
                Linear(b.graph, b.Input({9, 6}), b.Parameter({6, 5}, Fill::kPowers), std::nullopt);
            return CaseOutputs{{EmbeddingNoise(b.graph, x, b.Offsets({4, 0, 3}), 3)}, {}};
          }};
}

// Behind a product, whose result is bf16 where the program is.
OpCase WindowsOfLinear() {
  return {.name = "token_windows_of_linear", .build = [](CaseBuilder& b) {
            const Value x =
                Linear(b.graph, b.Input({9, 6}), b.Parameter({6, 5}, Fill::kPowers), std::nullopt);
            return CaseOutputs{{TokenWindows(b.graph, x, b.Offsets({4, 0, 3}), 1, 1)}, {}};
          }};
}

// The same of what follows its input, all ways of pooling side by side.
OpCase PoolsOfLinear() {
  return {.name = "segment_pool_of_linear",
          .build =
              [](CaseBuilder& b) {
                const Value x = Linear(b.graph, b.Input({9, 6}),
                                       b.Parameter({6, 19}, Fill::kPowers), std::nullopt);
                const Value offsets = b.Offsets({4, 0, 3});
                CaseOutputs outputs;
                for (const SegmentPoolKind kind :
                     {SegmentPoolKind::kMean, SegmentPoolKind::kFirst, SegmentPoolKind::kLast}) {
                  outputs.outputs.push_back(SegmentPool(b.graph, x, offsets, kind));
                }
                return outputs;
              },
          .bf16_tolerance = 2e-2};
}
OpCase RotaryOfLinear() {
  return {.name = "rotary_of_linear",
          .build =
              [](CaseBuilder& b) {
                const Value x = Linear(b.graph, b.Input({9, 6}),
                                       b.Parameter({6, 20}, Fill::kPowers), std::nullopt);
                const Value places = TokenPlaces(b.graph, b.Offsets({4, 0, 3}), 9);
                return CaseOutputs{{Rotary(b.graph, x, places, 2, 100)}, {}};
              },
          .bf16_tolerance = 2e-2};
}

}  // namespace

std::vector<OpCase> SequenceCases() {
  std::vector<OpCase> cases;
  for (const Sequences& sequences : kSequences) {
    cases.push_back(WindowsCase(sequences, 3, 2, 1));
  }
  cases.push_back(WindowsCase(kSequences[1], 17, 0, 0));
  cases.push_back(WindowsCase(kSequences[2], 5, 9, 0));
  cases.push_back(WindowsOfLinear());
  cases.push_back(PoolsOfLinear());
  cases.push_back(RotaryOfLinear());
  for (const Sequences& sequences : kSequences) {
    cases.push_back(PlacesCase(sequences));
  }
  cases.push_back(SinusoidsCase(kSequences[1], 1));
  cases.push_back(SinusoidsCase(kSequences[2], 7));
  cases.push_back(SinusoidsCase(kSequences[4], 64));
  cases.push_back(RotaryCase(kSequences[1], 1, 2));
  cases.push_back(RotaryCase(kSequences[2], 3, 10, 500000));
  cases.push_back(RotaryCase(kSequences[4], 2, 36));
  cases.push_back(RotaryCase(kSequences[2], 2, 10, 100, "_linear",
                             {.kind = RotaryScaling::Kind::kLinear, .factor = 2.5}));
  cases.push_back(RotaryCase(
      kSequences[4], 2, 36, 100, "_llama3",
      {.kind = RotaryScaling::Kind::kLlama3, .factor = 4, .low = 1, .high = 4, .original = 40}));
  for (const Sequences& sequences : kSequences) {
    cases.push_back(AttentionCase("all", sequences, 8, {.heads = 2}));
    cases.push_back(AttentionCase("causal", sequences, 5, {.heads = 1, .causal = true}));
  }
  for (const Sequences& sequences : kSequences) {
    cases.push_back(NoiseCase(sequences, 5));
  }
  cases.push_back(NoiseOfLinear());
  const Sequences& odd = kSequences[1];
  const Sequences& large = kSequences[4];
  cases.push_back(AttentionCase("grouped", odd, 16, {.heads = 4, .kv_heads = 2, .causal = true}));
  cases.push_back(AttentionCase("one_number", odd, 1, {.heads = 3}));
  cases.push_back(AttentionCase("wide", odd, 70, {.heads = 1, .scale = 0.1f}));
  cases.push_back(AttentionCase("window", odd, 4, {.heads = 2, .causal = true, .window = 2}));
  cases.push_back(AttentionCase("window", large, 4, {.heads = 1, .causal = true, .window = 40}));
  cases.push_back(AttentionCase("dropout", odd, 6, {.heads = 2, .dropout = 0.25f}));
  cases.push_back(
      AttentionCase("dropout_window", large, 4,
                    {.heads = 2, .kv_heads = 1, .causal = true, .window = 70, .dropout = 0.5f}));
  cases.push_back(AttentionCase("alibi", odd, 6, {.heads = 4, .causal = true, .alibi = true}));
  cases.push_back(AttentionCase("alibi_to_both_sides", odd, 5, {.heads = 3, .alibi = true}));
  cases.push_back(AttentionCase(
      "alibi_window", large, 4,
      {.heads = 2, .kv_heads = 1, .causal = true, .window = 40, .dropout = 0.25f, .alibi = true}));
  cases.push_back(CrossAttentionCase("alibi", {.heads = 2, .alibi = true}));
  cases.push_back(CrossAttentionCase("alibi_causal", {.heads = 1, .causal = true, .alibi = true}));
  cases.push_back(CrossAttentionCase("all", {.heads = 2}));
  cases.push_back(CrossAttentionCase("causal", {.heads = 1, .causal = true}));
  cases.push_back(CachedAttentionCase("one_row", 1, 4, 8, {.heads = 2}));
  cases.push_back(CachedAttentionCase("one_place", 3, 1, 5, {.heads = 1}));
  cases.push_back(CachedAttentionCase("rows", 9, 7, 5, {.heads = 3}));
  cases.push_back(CachedAttentionCase("grouped", 5, 11, 33, {.heads = 4, .kv_heads = 2}));
  cases.push_back(
      CachedAttentionCase("window", 7, 7, 17, {.heads = 2, .window = 3, .scale = 0.1f}));
  cases.push_back(
      CachedAttentionCase("alibi", 5, 11, 9, {.heads = 6, .kv_heads = 2, .alibi = true}));
  cases.push_back(
      CachedAttentionCase("alibi_window", 7, 7, 5, {.heads = 2, .window = 3, .alibi = true}));
  cases.push_back(CachedAttentionCase("for_two_threads", 8, 256, 32, {.heads = 6}));
  cases.push_back(ContinuedAttentionCase("one_head", 8, {.heads = 1}));
  cases.push_back(ContinuedAttentionCase("grouped", 33, {.heads = 4, .kv_heads = 2}));
  cases.push_back(ContinuedAttentionCase("window", 5, {.heads = 2, .window = 3, .scale = 0.1f}));
  cases.push_back(ContinuedAttentionCase("alibi", 9, {.heads = 6, .kv_heads = 2, .alibi = true}));
  cases.push_back(ContinuedAttentionOfAPrompt());
  cases.push_back(WriteTokensCase());
  cases.push_back(CarriedStateCase(false));
  cases.push_back(CarriedStateCase(true));
  for (const std::string name : {"lstm", "gru", "gru_reset_first", "simple_rnn"}) {
    for (const Sequences& sequences : kSequences) {
      cases.push_back(RecurrenceCase(name, sequences, 5, false));
      cases.push_back(RecurrenceCase(name, sequences, 20, true));
    }
    for (const size_t i : {0, 1, 2}) {
      cases.push_back(RecurrenceCase(name, kSequences[i], 5, false, /*starts=*/true));
      cases.push_back(RecurrenceCase(name, kSequences[i], 20, true, /*starts=*/true));
    }
    cases.push_back(RecurrenceCase(name, kSequences[4], 7, false, /*starts=*/true));
    cases.push_back(RecurrenceCase(name, {"one_unit", {3, 1}, 1}, 1, false));
    // More sequences than a tile has rows, and more units than a panel has.
    cases.push_back(
        RecurrenceCase(name, {"many", {2, 3, 1, 2, 2, 3, 1, 0, 2, 2, 1}, 2}, 70, false));
  }
  for (const Sequences& sequences : kSequences) {
    for (const auto& [name, kind] :
         {std::pair{"mean", SegmentPoolKind::kMean}, std::pair{"max", SegmentPoolKind::kMax},
          std::pair{"first", SegmentPoolKind::kFirst}, std::pair{"last", SegmentPoolKind::kLast}}) {
      cases.push_back(SegmentPoolCase(name, sequences, 1, kind));
      // Of this width no sequence has its largest number twice: there is a slope to compare with.
      cases.push_back(SegmentPoolCase(name, sequences, 45, kind));
    }
  }
  return cases;
}

}  // namespace hone::engine
