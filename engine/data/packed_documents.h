#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/dataset.h"
#include "engine/data/load.h"

namespace hone::engine::data {

// Documents (texts.h) for a language model, several to a row of at most `window` tokens that are
// read. A document is its tokens between the begin token and the end token of a text; each of them
// but the begin is foretold once. One that is longer than the window is cut into pieces, each of
// which begins with the token that the one before it has foretold last; those that are whole stay
// whole. Pieces see nothing of each other: each is a sequence of its own (tensor/token_rows.h), so
// that attention, places and recurrent states begin anew with it.
//
// Which pieces share a row is found by best-fit decreasing: the longest first, each where least
// room is left over, else in a new row (Johnson, 1973; Ding et al., "Fewer Truncations Improve
// Language Modeling", 2024). Rows hold pieces of one part. Immutable, so any number of threads may
// read it.
class PackedDocuments final : public OwnExamples {
 public:
  struct Special {
    int32_t begin;
    int32_t end;
  };

  // Whole documents, one behind the other, and of each token whether it is learned.
  struct Masked {
    std::vector<int32_t> tokens = {};
    std::vector<uint8_t> learned = {};
    std::vector<int64_t> begin = {0};  // of each, and behind the last one
  };

  // No rows.
  PackedDocuments() = default;
  // A row of such pieces, of at least two tokens each, of no part. Before it is shared. `learned`:
  // of each token of each piece, in all rows or in none.
  void AddRow(std::span<const std::vector<int32_t>> pieces,
              std::span<const std::vector<uint8_t>> learned = {});
  // `texts` is a data set of Texts, `parts` are its rows. `window` is at least 1.
  PackedDocuments(const Dataset& texts, const Splits& parts, const Special& special,
                  int64_t window);
  enum class Rows {
    kAlone,     // a row for each document
    kTogether,  // several documents share one
    kPairs,     // documents 2 i and 2 i + 1 share row i
  };
  // Documents of two to window + 1 tokens each. `parts` are numbers of documents, or of pairs.
  PackedDocuments(Masked documents, const Splits& parts, int64_t window, Rows rows);

  int64_t size() const override { return static_cast<int64_t>(row_begins_.size()) - 1; }
  int64_t bytes() const override;
  uint64_t content_hash() const override;

  // The rows of each part.
  const Splits& splits() const { return splits_; }
  int64_t CountPieces(int32_t row) const { return row_begins_[At(row) + 1] - row_begins_[At(row)]; }
  // Of several rows together.
  int64_t CountPieces(std::span<const int32_t> rows) const;
  // One token more than the piece reads: all but the last are read, all but the first are foretold.
  std::span<const int32_t> piece(int32_t row, int64_t number) const;
  // Tokens that several rows foretell.
  int64_t CountTokens(std::span<const int32_t> rows) const;
  // Of a piece's tokens, whether each is learned; empty: all are.
  std::span<const uint8_t> learned(int32_t row, int64_t number) const;
  bool masked() const { return !learned_.empty(); }
  // Tokens that several rows foretell and that are learned.
  int64_t CountLearned(std::span<const int32_t> rows) const;

 private:
  struct Piece {
    int64_t begin = 0;   // in tokens_
    int64_t length = 0;  // tokens that it reads
  };
  static size_t At(int32_t row) { return static_cast<size_t>(row); }
  const Piece& At(int32_t row, int64_t number) const {
    return pieces_[static_cast<size_t>(row_begins_[At(row)] + number)];
  }
  // Rows of the pieces, behind those that there are; their numbers.
  std::vector<int32_t> Pack(const std::vector<Piece>& pieces, int64_t window);

  std::vector<int32_t> tokens_;   // document behind document
  std::vector<uint8_t> learned_;  // of each token; empty: all are
  std::vector<Piece> pieces_;     // row by row
  std::vector<int64_t> row_begins_ = {0};
  Splits splits_;
};

// Of a data set that LoadPackedDocuments made.
inline const PackedDocuments& PackedDocumentsOf(const Dataset& dataset) {
  return static_cast<const PackedDocuments&>(*dataset.own());
}

// Texts (LoadTexts) as packed documents. Of TextOptions::like neither the template nor the length
// counts. Errors of LoadTexts; INVALID_ARGUMENT where the tokenizer has no token for the begin or
// the end of a text.
absl::StatusOr<LoadedData> LoadPackedDocuments(const LoadOptions& options, int64_t window);

}  // namespace hone::engine::data
