#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/dataset.h"
#include "engine/data/load.h"
#include "engine/data/tokens.h"

namespace hone::engine::data {

// Texts, or pairs of them, as tokens (text_preprocessing.h). Immutable, so any number of threads
// may read it.
class Texts final : public OwnExamples {
 public:
  // No texts. Of pairs, the token that stands behind each text of one; −1: there are none.
  explicit Texts(int32_t separator = -1) : separator_(separator) {}
  // Text after text; where each begins, and where the last one ends.
  Texts(int32_t separator, Tokens tokens, std::vector<int64_t> begin)
      : separator_(separator), tokens_(std::move(tokens)), begin_(std::move(begin)) {}
  // Behind those that there are, in memory. Before it is shared.
  void Add(std::span<const int32_t> tokens);

  int64_t size() const override { return static_cast<int64_t>(begin_.size()) - 1; }
  int64_t bytes() const override;
  uint64_t content_hash() const override;

  // Of a text; at least one where LoadTexts made it.
  std::span<const int32_t> tokens(int64_t row) const {
    const auto r = static_cast<size_t>(row);
    return all().subspan(static_cast<size_t>(begin_[r]),
                         static_cast<size_t>(begin_[r + 1] - begin_[r]));
  }
  int32_t separator() const { return separator_; }
  // Of several texts together.
  int64_t CountTokens(std::span<const int32_t> rows) const;

 private:
  // Text behind text.
  std::span<const int32_t> all() const {
    return added_.empty() ? std::span<const int32_t>(tokens_) : added_;
  }

  int32_t separator_;
  Tokens tokens_;
  std::vector<int32_t> added_;  // instead
  std::vector<int64_t> begin_ = {0};
};

// Of a data set of texts.
inline const Texts& TextsOf(const Dataset& dataset) {
  return static_cast<const Texts&>(*dataset.own());
}

// How texts are cleaned: as a model that reads them, or is gone on with, has it, else as
// options.text says.
const text::CleaningOptions& CleaningOf(const LoadOptions& options);

// Reads (text_rows.h), cleans and splits texts, makes a tokenizer of the training part alone, and
// turns all of them into tokens, as options.text says. The result's dataset is Texts with classes
// or target values, its preprocessing kText. A data set's own parts are kept: where it has a
// validation part, nothing of the training part is set aside for that. Where a model reads the
// texts (options.as), cleaning, tokenizer and length are the model's; where one is gone on with
// (options.text->like), cleaning and tokenizer are.
//
// For language modeling nothing is learned of a text but itself, and the dataset is Texts alone.
// Labels need not be there; where all texts have one, they are divided as they are for
// classification: with the same seed and shares no text of one's test part is learned from by the
// other.
//
// For pairs and triples whose texts are read apart (Task::kTextPairs) it is TextPairs
// (text_pairs.h), and no label is read.
//
// Files are read once, and each text is cleaned as it comes. Texts that are cleaned, and then
// tokens, are in memory up to options.stream.memory_bytes each, else in files of
// options.stream.folder that nobody else sees; of each text there stay about a hundred bytes. Where
// the texts lie changes nothing of the result. Errors of Load and of Spool; INVALID_ARGUMENT also
// for a text without words, by its place.
absl::StatusOr<LoadedData> LoadTexts(const LoadOptions& options);

}  // namespace hone::engine::data
