#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "engine/data/dataset.h"
#include "engine/text/tokenizer.h"

namespace hone::engine::data {

class RunningText;

// Texts (texts.h), or windows of one running text (running_text.h), of which a model is shown a
// part of the words as something else and has to say what they were (Devlin et al., "BERT:
// Pre-training of Deep Bidirectional Transformers for Language Understanding", 2019). Immutable, so
// any number of threads may read it.
//
// Of a text's words 15 in a hundred are drawn, rounded, at least one; words as
// Tokenizer::GoesOn has them, and those that are unknown or special do not count. Of their tokens
// eight in ten are shown as the mask, one as any other token that is not special, and one as it is.
// What is drawn depends on nothing but (seed, epoch, row): a run that goes on has the masks that it
// would have had, and an evaluation, which is always of epoch 0, has the same ones each time.
class MaskedTexts final : public OwnExamples {
 public:
  // `texts` is a data set of Texts or of RunningText, whose tokens the tokenizer made; it has a
  // mask token.
  MaskedTexts(Dataset texts, const text::Tokenizer& tokenizer, uint64_t seed);

  int64_t size() const override { return texts_.size(); }
  int64_t bytes() const override;
  uint64_t content_hash() const override;

  int64_t length(int32_t row) const;
  int64_t CountTokens(std::span<const int32_t> rows) const;
  // What is to be found: of a running text the first tokens of its window, not the one behind.
  std::span<const int32_t> tokens(int32_t row, int64_t epoch) const;

  // Of so many texts with so many tokens together, so many tokens are drawn at most. A word is
  // drawn whole where this allows it, else left out, or, as the only one, drawn in part.
  static int64_t MostDrawn(int64_t tokens, int64_t texts) {
    return tokens * kPercent / 100 + texts;
  }
  // Writes what the model is shown, length(row) tokens, and calls `drawn` for each token that was
  // drawn, from the first to the last: its place in the text and what it is in truth. Allocates
  // nothing.
  void Show(int32_t row, int64_t epoch, std::span<int32_t> shown,
            absl::FunctionRef<void(int64_t place, int32_t token)> drawn) const;

 private:
  static constexpr int64_t kPercent = 15;

  struct TextKey;
  bool is_plain(int32_t token) const {
    return (kinds_[static_cast<size_t>(token)] & kSpecial) == 0;
  }
  // Behind the last token of the word that begins there.
  size_t EndOfWord(std::span<const int32_t> tokens, size_t begin) const;
  // What a token that was drawn is shown as.
  int32_t Shown(int32_t token, const TextKey& key, size_t place) const;

  static constexpr uint8_t kSpecial = 1, kGoesOn = 2;

  Dataset texts_;
  const RunningText* running_;  // that is what texts_ is; else null
  int32_t mask_;
  uint64_t seed_;
  std::vector<uint8_t> kinds_;  // by token
  std::vector<int32_t> plain_;  // tokens that are not special
};

// Of a data set of masked texts.
inline const MaskedTexts& MaskedTextsOf(const Dataset& dataset) {
  return static_cast<const MaskedTexts&>(*dataset.own());
}

}  // namespace hone::engine::data
