#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/dataset.h"
#include "engine/data/load.h"

namespace hone::engine::data {

// Sentences as tokens, with a tag for each word, which its first token stands for (word_pieces.h).
// Immutable once it is shared, so that any number of threads may read it.
class TaggedTexts final : public OwnExamples {
 public:
  struct Word {
    int32_t first = -1;  // place of its first token in its sentence; −1: it has none
    int32_t tag = 0;     // a number of Preprocessing::class_names

    friend bool operator==(const Word&, const Word&) = default;
  };

  // No sentences.
  TaggedTexts() = default;
  // Behind those that there are. At least one token.
  void Add(std::span<const int32_t> tokens, std::span<const Word> words);

  int64_t size() const override { return static_cast<int64_t>(token_begin_.size()) - 1; }
  int64_t bytes() const override;
  uint64_t content_hash() const override;

  std::span<const int32_t> tokens(int32_t row) const { return Of(tokens_, token_begin_, row); }
  std::span<const Word> words(int32_t row) const { return Of(words_, word_begin_, row); }
  // Of several sentences together.
  int64_t CountTokens(std::span<const int32_t> rows) const;

 private:
  template <typename T>
  static std::span<const T> Of(const std::vector<T>& all, const std::vector<int64_t>& begin,
                               int32_t row) {
    const auto r = static_cast<size_t>(row);
    return std::span(all).subspan(static_cast<size_t>(begin[r]),
                                  static_cast<size_t>(begin[r + 1] - begin[r]));
  }

  std::vector<int32_t> tokens_;
  std::vector<int64_t> token_begin_ = {0};
  std::vector<Word> words_;
  std::vector<int64_t> word_begin_ = {0};
};

// Of a data set that LoadTaggedTexts made.
inline const TaggedTexts& TaggedTextsOf(const Dataset& dataset) {
  return static_cast<const TaggedTexts&>(*dataset.own());
}

// Reads (tagged_rows.h) and splits sentences, makes a tokenizer of the training part alone, and
// turns all of them into tokens, as options.text says: its columns, encoding, cleaning, tokenizer,
// max_tokens and `like` count. The result's preprocessing is kText; its class_names are the tags, O
// first, then by their letters. A data set's own parts are kept: where it has a validation part,
// nothing of the training part is set aside for that. Where a model reads the sentences
// (options.as), tags, cleaning, tokenizer and length are the model's.
//
// Errors of Load; INVALID_ARGUMENT also for a tag that the model does not know, and where there are
// fewer than two tags, or more than 1000.
absl::StatusOr<LoadedData> LoadTaggedTexts(const LoadOptions& options);

}  // namespace hone::engine::data
