#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "engine/data/dataset.h"
#include "engine/data/texts.h"

namespace hone::engine::data {

// Pairs of texts that belong together, each text a row of tokens by itself. Immutable, so any
// number of threads may read it.
class TextPairs final : public OwnExamples {
 public:
  // Two texts for each pair, one behind the other.
  explicit TextPairs(std::shared_ptr<const Texts> texts) : texts_(std::move(texts)) {}

  int64_t size() const override { return texts_->size() / 2; }
  int64_t bytes() const override { return texts_->bytes(); }
  uint64_t content_hash() const override { return texts_->content_hash(); }

  std::span<const int32_t> first(int32_t row) const { return texts_->tokens(2 * row); }
  std::span<const int32_t> second(int32_t row) const { return texts_->tokens(2 * row + 1); }
  // Of both texts of several pairs together.
  int64_t CountTokens(std::span<const int32_t> rows) const {
    int64_t count = 0;
    for (const int32_t row : rows) {
      count += std::ssize(first(row)) + std::ssize(second(row));
    }
    return count;
  }

 private:
  std::shared_ptr<const Texts> texts_;
};

// Of a data set that LoadTexts made for Task::kTextPairs.
inline const TextPairs& TextPairsOf(const Dataset& dataset) {
  return static_cast<const TextPairs&>(*dataset.own());
}

}  // namespace hone::engine::data
