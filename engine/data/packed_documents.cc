#include "engine/data/packed_documents.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/data/fingerprint.h"
#include "engine/data/prepare.h"
#include "engine/data/texts.h"

namespace hone::engine::data {

PackedDocuments::PackedDocuments(const Dataset& texts, const Splits& parts, const Special& special,
                                 int64_t window) {
  const Texts& documents = TextsOf(texts);
  for (const auto& [from, to] :
       {std::pair(&parts.train, &splits_.train), std::pair(&parts.validation, &splits_.validation),
        std::pair(&parts.test, &splits_.test)}) {
    std::vector<Piece> pieces;
    for (const int32_t row : *from) {
      const auto begin = static_cast<int64_t>(tokens_.size());
      const std::span<const int32_t> tokens = documents.tokens(row);
      tokens_.push_back(special.begin);
      tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
      tokens_.push_back(special.end);
      const auto read = static_cast<int64_t>(tokens.size()) + 1;
      for (int64_t done = 0; done < read; done += window) {
        pieces.push_back({.begin = begin + done, .length = std::min(window, read - done)});
      }
    }
    *to = Pack(pieces, window);
  }
}

PackedDocuments::PackedDocuments(Masked documents, const Splits& parts, int64_t window, Rows rows)
    : tokens_(std::move(documents.tokens)), learned_(std::move(documents.learned)) {
  const auto piece = [&](int32_t number) {
    const int64_t begin = documents.begin[At(number)];
    return Piece{.begin = begin, .length = documents.begin[At(number) + 1] - begin - 1};
  };
  for (const auto& [from, to] :
       {std::pair(&parts.train, &splits_.train), std::pair(&parts.validation, &splits_.validation),
        std::pair(&parts.test, &splits_.test)}) {
    std::vector<Piece> pieces;
    for (const int32_t number : *from) {
      if (rows == Rows::kTogether) {
        pieces.push_back(piece(number));
        continue;
      }
      to->push_back(static_cast<int32_t>(size()));
      if (rows == Rows::kPairs) {
        pieces_.push_back(piece(2 * number));
        pieces_.push_back(piece(2 * number + 1));
      } else {
        pieces_.push_back(piece(number));
      }
      row_begins_.push_back(static_cast<int64_t>(pieces_.size()));
    }
    if (rows == Rows::kTogether) {
      *to = Pack(pieces, window);
    }
  }
}

void PackedDocuments::AddRow(std::span<const std::vector<int32_t>> pieces,
                             std::span<const std::vector<uint8_t>> learned) {
  for (const std::vector<uint8_t>& of_piece : learned) {
    learned_.insert(learned_.end(), of_piece.begin(), of_piece.end());
  }
  for (const std::vector<int32_t>& tokens : pieces) {
    pieces_.push_back({.begin = static_cast<int64_t>(tokens_.size()),
                       .length = static_cast<int64_t>(tokens.size()) - 1});
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  }
  row_begins_.push_back(static_cast<int64_t>(pieces_.size()));
}

std::vector<int32_t> PackedDocuments::Pack(const std::vector<Piece>& pieces, int64_t window) {
  std::vector<size_t> order(pieces.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater(),
                           [&](size_t i) { return pieces[i].length; });
  std::vector<std::vector<size_t>> rows;
  std::multimap<int64_t, size_t> room;  // of those that have some
  for (const size_t i : order) {
    const int64_t length = pieces[i].length;
    const auto best = room.lower_bound(length);
    size_t row = rows.size();
    int64_t left = window - length;
    if (best == room.end()) {
      rows.emplace_back();
    } else {
      row = best->second;
      left = best->first - length;
      room.erase(best);
    }
    rows[row].push_back(i);
    if (left > 0) {
      room.emplace(left, row);
    }
  }
  std::vector<int32_t> numbers;
  for (const std::vector<size_t>& row : rows) {
    numbers.push_back(static_cast<int32_t>(size()));
    for (const size_t i : row) {
      pieces_.push_back(pieces[i]);
    }
    row_begins_.push_back(static_cast<int64_t>(pieces_.size()));
  }
  return numbers;
}

int64_t PackedDocuments::bytes() const {
  return static_cast<int64_t>(tokens_.size() * sizeof(int32_t) + learned_.size() +
                              pieces_.size() * sizeof(Piece) +
                              row_begins_.size() * sizeof(int64_t));
}

uint64_t PackedDocuments::content_hash() const {
  const uint64_t parts[] = {
      ContentHash(tokens_.data(), static_cast<int64_t>(tokens_.size() * sizeof(int32_t))),
      ContentHash(pieces_.data(), static_cast<int64_t>(pieces_.size() * sizeof(Piece))),
      ContentHash(row_begins_.data(), static_cast<int64_t>(row_begins_.size() * sizeof(int64_t)))};
  const uint64_t hash = ContentHash(parts, sizeof(parts));
  if (!masked()) {
    return hash;
  }
  const uint64_t both[] = {hash,
                           ContentHash(learned_.data(), static_cast<int64_t>(learned_.size()))};
  return ContentHash(both, sizeof(both));
}

std::span<const int32_t> PackedDocuments::piece(int32_t row, int64_t number) const {
  const Piece& piece = At(row, number);
  return std::span(tokens_).subspan(static_cast<size_t>(piece.begin),
                                    static_cast<size_t>(piece.length) + 1);
}

std::span<const uint8_t> PackedDocuments::learned(int32_t row, int64_t number) const {
  if (!masked()) {
    return {};
  }
  const Piece& piece = At(row, number);
  return std::span(learned_).subspan(static_cast<size_t>(piece.begin),
                                     static_cast<size_t>(piece.length) + 1);
}

int64_t PackedDocuments::CountPieces(std::span<const int32_t> rows) const {
  int64_t count = 0;
  for (const int32_t row : rows) {
    count += CountPieces(row);
  }
  return count;
}

int64_t PackedDocuments::CountTokens(std::span<const int32_t> rows) const {
  int64_t count = 0;
  for (const int32_t row : rows) {
    for (int64_t i = 0; i < CountPieces(row); ++i) {
      count += static_cast<int64_t>(piece(row, i).size()) - 1;
    }
  }
  return count;
}

int64_t PackedDocuments::CountLearned(std::span<const int32_t> rows) const {
  if (!masked()) {
    return CountTokens(rows);
  }
  int64_t count = 0;
  for (const int32_t row : rows) {
    for (int64_t i = 0; i < CountPieces(row); ++i) {
      count += std::ranges::count(learned(row, i).subspan(1), 1);
    }
  }
  return count;
}

absl::StatusOr<LoadedData> LoadPackedDocuments(const LoadOptions& options, int64_t window) {
  LoadOptions bare = options;
  if (options.text.has_value() && options.text->like != nullptr) {
    // Packing puts its own tokens around a document, and cuts long ones into pieces.
    TextPreprocessing like = *options.text->like;
    like.in_template = false;
    like.max_tokens = 0;
    bare.text->like = std::make_shared<const TextPreprocessing>(std::move(like));
  }
  HONE_ASSIGN_OR_RETURN(LoadedData loaded, LoadTexts(bare));
  const text::SpecialTokens special = loaded.preprocessing.text->tokenizer->special();
  if (special.begin < 0 || special.end < 0) {
    return absl::InvalidArgumentError(
        "data.text.tokenizer: it has no tokens for the begin and the end of a text, which stand "
        "around documents that are packed");
  }
  const auto packed = std::make_shared<const PackedDocuments>(
      loaded.dataset, loaded.splits, PackedDocuments::Special{special.begin, special.end}, window);
  if (packed->size() > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat("the documents fill ", packed->size(),
                                                   " rows; a data set has at most 2147483647"));
  }
  const int64_t documents = loaded.dataset.size();
  loaded.splits = packed->splits();
  const std::vector<int32_t>& train = loaded.splits.train;
  loaded.report.notes.push_back(
      absl::StrCat(documents, " documents are packed into ", packed->size(), " rows of ", window,
                   " tokens; those of the training part hold ",
                   packed->CountTokens(train) / std::max<int64_t>(std::ssize(train), 1), " each"));
  loaded.dataset = Dataset(packed);
  loaded.fingerprint = Fingerprint(loaded);
  return loaded;
}

}  // namespace hone::engine::data
