#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "engine/text/sentencepiece_model.h"

namespace hone::engine::text {

// Divides texts into the pieces of a SentencePiece model by its algorithm. Immutable: any number of
// threads may use it.
class PieceSearch {
 public:
  // A part of the text, and the piece that it is; the unknown one where it is a character that no
  // piece has.
  using Found = absl::FunctionRef<void(absl::string_view part, int32_t id)>;

  virtual ~PieceSearch() = default;
  // From left to right. `text` is UTF-8 with spaces written as in pieces.
  virtual void Divide(absl::string_view text, Found found) const = 0;
};

// Joins the two neighbours whose piece has the highest score, the left ones of equal scores first,
// until none can be joined. Source: R. Sennrich, B. Haddow, A. Birch, "Neural Machine Translation
// of Rare Words with Subword Units", 2016; details as in SentencePiece's bpe_model.cc.
std::unique_ptr<const PieceSearch> NewBpeSearch(const SentencePieceModel& model);

// The pieces whose scores have the highest sum, by Viterbi's algorithm. Source: T. Kudo, "Subword
// Regularization", 2018; details as in SentencePiece's unigram_model.cc.
std::unique_ptr<const PieceSearch> NewUnigramSearch(const SentencePieceModel& model);

}  // namespace hone::engine::text
