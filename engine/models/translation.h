#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "engine/graph/graph.h"

// How nets that translate are built: `seq2seq` and `transformer_translation` (presets.h). Both
// texts of an example are rows of tokens (tensor/token_rows.h).
//
// To train, and to judge by the loss (Part::kWhole), a graph has the inputs
//   source_tokens   s32 [source rows]   what is to be translated
//   source_offsets  s32 [batch + 1]
//   tokens          s32 [rows]          the translation, a token that begins it before
//   offsets         s32 [batch + 1]
// and gives logits [rows, vocabulary]: of each token's row what follows it. With
// TranslationBuild::sampling the decoder is computed twice: the second time some of the tokens that
// it reads are guesses that the first one made from the true ones (ops/guessed_tokens.h), and its
// logits are the graph's.
//
// A translation is written by two graphs over one store. The first (kEncoder) reads the sentences,
// inputs source_tokens and source_offsets, and leaves what is needed of them in memory of the store
// (role kTransient, in no file); its output is the encoder's, [source rows, n]. The second (kStep)
// then runs once for each token. It has `rows` rows: the newest token of each of so many
// translations that are still written, several of one sentence where beams are searched. Its inputs
//   tokens          s32 [rows]          the newest tokens; at first the token that begins
//   places          s32 [rows]          of these in their translations, from 0
//   ancestors       s32 [rows, window]  in which row a translation had its token at each place
//   offsets         s32 [sentences + 1] rows [offsets[i], offsets[i + 1]) translate sentence i
//   source_offsets  s32 [sentences + 1] as the first graph had them
// and its output is logits [rows, vocabulary]. `window` is BuildOptions::decode_window: a
// translation has no more tokens, the first one among them. Nothing is moved when beams change
// places: row r of a run goes on from row ancestors[r, places[r] − 1] of the run before, and what
// was written for its place p lies in row ancestors[r, p], which the caller copies along; of greedy
// search it is r at all places. What stands from places[r] on is not read. All translations begin
// together, and `places` is the same in all rows of sentences that are still written: what a row
// had at a place stays until it is there again. The rows of those that are done, and rows behind
// offsets[sentences], are idle: they have place 0, some token and some rows as ancestors (0), and
// their logits mean nothing. Both graphs have the same number of
// sentences and of source rows.
namespace hone::engine::models {

inline constexpr absl::string_view kSourceTokensInput = "source_tokens";
inline constexpr absl::string_view kSourceOffsetsInput = "source_offsets";
inline constexpr absl::string_view kStepPlacesInput = "places";
inline constexpr absl::string_view kAncestorsInput = "ancestors";

struct TranslationBuild {
  enum class Part { kWhole, kEncoder, kStep };
  Part part = Part::kWhole;
  int64_t source_vocabulary = 0;  // tokens that there are in the language that is read
  int64_t source_rows = 0;        // of kStep: of the first graph
  // Of kWhole: where it is valid, f32 [], the share of the tokens that the decoder is given as its
  // own guesses.
  Value sampling = {};
  // Of kStep: above 0, there are attention weights to fetch, of so many tokens of a sentence.
  int64_t longest_source = 0;
};

// Of a kStep graph with `longest_source` above 0: what each row looked at when it chose what
// follows, f32 [rows, longest_source], behind the sentence's tokens zeros; of several heads and
// layers the mean over the last layer's heads. A run in which a sentence has more tokens fails.
// Nothing where the graph has none. Whoever fetches it pays for it.
std::optional<Value> AttentionWeightsOf(const Graph& graph);

}  // namespace hone::engine::models
