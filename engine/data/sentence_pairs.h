#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/dataset.h"
#include "engine/data/load.h"
#include "engine/data/spool.h"
#include "engine/data/tokens.h"

namespace hone::engine::data {

// Sentences and their translations, both as tokens. A row is a pair. Several pairs may have one
// source sentence: each of these has a number, and its translations are each other's references.
// Immutable once it is shared, so any number of threads may read it.
//
// The source is its text's tokens alone, at least one. The target is the begin token, its text's
// tokens, the end token: a decoder reads all but the last, and foretells all but the first, so that
// it has a row for each of target(row).size() − 1 tokens.
class SentencePairs final : public OwnExamples {
 public:
  // Sequences one behind the other.
  struct Sequences {
    Tokens tokens = {};
    std::vector<int64_t> begin = {0};  // of each, and where the last one ends
    std::vector<int32_t> added = {};   // instead of `tokens`

    std::span<const int32_t> all() const {
      return added.empty() ? std::span<const int32_t>(tokens) : added;
    }
    std::span<const int32_t> row(int32_t number) const {
      const auto r = static_cast<size_t>(number);
      return all().subspan(static_cast<size_t>(begin[r]),
                           static_cast<size_t>(begin[r + 1] - begin[r]));
    }
  };
  // Texts one behind the other, those of a sentence together.
  struct References {
    std::shared_ptr<const Spool> texts = nullptr;  // null: none
    std::vector<int64_t> begin = {0};              // of each, and where the last one ends
    std::vector<int64_t> first = {0};  // a sentence's first one; and how many there are at all

    absl::string_view text(int64_t index) const;
  };

  // No pairs.
  SentencePairs() = default;
  // Of each row its source, its target and the number of its sentence.
  SentencePairs(Sequences source, Sequences target, std::vector<int32_t> sentence,
                References references)
      : source_(std::move(source)),
        target_(std::move(target)),
        sentence_(std::move(sentence)),
        references_(std::move(references)) {}
  // A source sentence without references; returns its number, which counts from 0.
  int32_t AddSentence();
  // Behind the pairs that there are, in memory. Before it is shared. `target` with begin and end.
  void Add(int32_t sentence, std::span<const int32_t> source, std::span<const int32_t> target);

  int64_t size() const override { return static_cast<int64_t>(sentence_.size()); }
  int64_t bytes() const override;
  uint64_t content_hash() const override;

  std::span<const int32_t> source(int32_t row) const { return source_.row(row); }
  std::span<const int32_t> target(int32_t row) const { return target_.row(row); }
  // The number of a row's source sentence. Rows of two parts never have the same one.
  int32_t sentence(int32_t row) const { return sentence_[static_cast<size_t>(row)]; }
  // All translations of a row's source sentence in its part, as cleaned texts, each once. Rows of
  // the training part have none, unless a model reads the pairs, which may be judged by any part.
  std::vector<std::string> references(int32_t row) const;
  // Of each source sentence among these rows the first row, in their order: what is translated to
  // be compared with the references. At most `limit`, spread evenly over them, because many data
  // sets begin with short sentences; 0: all.
  std::vector<int32_t> FirstOfEach(std::span<const int32_t> rows, int64_t limit) const;

  // Tokens of several sources together, and rows of a decoder that learns their targets.
  int64_t CountSourceTokens(std::span<const int32_t> rows) const;
  int64_t CountTargetTokens(std::span<const int32_t> rows) const;  // those that are foretold

 private:
  Sequences source_;
  Sequences target_;
  std::vector<int32_t> sentence_;  // by row
  References references_;
};

// Of a data set that LoadSentencePairs made.
inline const SentencePairs& SentencePairsOf(const Dataset& dataset) {
  return static_cast<const SentencePairs&>(*dataset.own());
}

// Reads (pair_rows.h) and cleans pairs, leaves out those that are too long, those behind the first
// so many (options.pairs.first) and copies of others (drop_near_copies.h), splits the rest, makes a
// tokenizer for each side of the training part alone, and turns all of them into tokens, as
// options.pairs says. The result's dataset is SentencePairs; its preprocessing is kText, with
// `text` for the source side, which a model reads, and `target_text` for the side that it writes.
//
// A split keeps all pairs of one source sentence (as it is when cleaned) in one part; shares are
// those of source sentences, and `limit` counts pairs. A data set's own parts are kept: where it
// has a validation part, nothing of the training part is set aside for that. Where a model reads
// the pairs (options.as), cleaning and tokenizers are the model's.
//
// Files are read once, and each pair is cleaned as it comes. Pairs that are cleaned, the tokens of
// each side, and references are in memory up to options.stream.memory_bytes each, else in files of
// options.stream.folder that nobody else sees; of each pair there stay about a hundred bytes. Where
// they lie changes nothing of the result.
//
// Errors of Load and of Spool; INVALID_ARGUMENT also for a pair of which one side has no words, by
// its place.
absl::StatusOr<LoadedData> LoadSentencePairs(const LoadOptions& options);

}  // namespace hone::engine::data
