#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "engine/data/dataset.h"
#include "engine/data/prepare.h"
#include "engine/data/texts.h"

namespace hone::engine::data {

// Pairs of texts that belong together, or triples: pairs, each with a hard negative, a text that is
// like the second one and does not belong to the first. Each text is a row of tokens by itself.
// Immutable, so any number of threads may read it.
class TextPairs final : public OwnExamples {
 public:
  enum class Kind { kPairs = 2, kTriples = 3 };  // texts of an example

  // The texts of each example, one behind the other: first, second and, of triples, the negative.
  explicit TextPairs(std::shared_ptr<const Texts> texts, Kind kind = Kind::kPairs)
      : texts_(std::move(texts)), kind_(kind) {}

  int64_t size() const override { return texts_->size() / texts_of_each(); }
  int64_t bytes() const override { return texts_->bytes(); }
  // The same texts are other triples than pairs.
  uint64_t content_hash() const override {
    const uint64_t parts[] = {texts_->content_hash(), static_cast<uint64_t>(kind_)};
    return triples() ? ContentHash(parts, sizeof(parts)) : parts[0];
  }

  bool triples() const { return kind_ == Kind::kTriples; }
  int64_t texts_of_each() const { return static_cast<int64_t>(kind_); }
  std::span<const int32_t> first(int32_t row) const { return Text(row, 0); }
  std::span<const int32_t> second(int32_t row) const { return Text(row, 1); }
  std::span<const int32_t> negative(int32_t row) const { return Text(row, 2); }  // of triples
  // Of all texts of several examples together.
  int64_t CountTokens(std::span<const int32_t> rows) const {
    int64_t count = 0;
    for (const int32_t row : rows) {
      for (int64_t i = 0; i < texts_of_each(); ++i) {
        count += std::ssize(Text(row, i));
      }
    }
    return count;
  }

 private:
  std::span<const int32_t> Text(int32_t row, int64_t i) const {
    return texts_->tokens(texts_of_each() * row + i);
  }

  std::shared_ptr<const Texts> texts_;
  Kind kind_;
};

// Of a data set that LoadTexts made for Task::kTextPairs.
inline const TextPairs& TextPairsOf(const Dataset& dataset) {
  return static_cast<const TextPairs&>(*dataset.own());
}

}  // namespace hone::engine::data
