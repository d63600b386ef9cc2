#include "engine/text/sentencepiece_tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/text/piece_search.h"
#include "engine/text/sentencepiece_model.h"
#include "engine/text/sentencepiece_trainer.h"
#include "engine/text/unicode.h"

namespace hone::engine::text {
namespace {

using Piece = SentencePieceModel::Piece;
using Type = SentencePieceModel::Type;

// Of one stretch of a text.
constexpr size_t kLongestStretch = size_t{64} << 10;

// A space stands in a piece only before what else it has: so a text may be cut before a space that
// stands behind something else.
bool BeginsWithItsSpaces(absl::string_view piece) {
  while (absl::ConsumePrefix(&piece, kSpacePiece)) {
  }
  return !absl::StrContains(piece, kSpacePiece);
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string bytes, SentencePieceModel model)
      : bytes_(std::move(bytes)),
        model_(std::move(model)),
        search_(model_.algorithm == SentencePieceModel::Algorithm::kBpe ? NewBpeSearch(model_)
                                                                        : NewUnigramSearch(model_)),
        ends_between_words_(std::ranges::all_of(
            model_.pieces, [](const Piece& piece) { return BeginsWithItsSpaces(piece.text); })),
        newlines_are_alone_(std::ranges::none_of(model_.pieces, [](const Piece& piece) {
          return piece.text.size() > 1 && absl::StrContains(piece.text, '\n');
        })) {
    special_ = {.unknown = -1, .begin = -1, .end = -1, .mask = -1};
    for (size_t i = 0; i < model_.pieces.size(); ++i) {
      const Piece& piece = model_.pieces[i];
      const auto id = static_cast<int32_t>(i);
      if (piece.type == Type::kUnknown) {
        special_.unknown = id;
      } else if (piece.type == Type::kByte) {
        byte_ids_[ByteOfPiece(piece.text)] = id;
      } else if (piece.type == Type::kControl) {
        special_.begin = piece.text == kSpecialTokens[1] ? id : special_.begin;
        special_.end = piece.text == kSpecialTokens[2] ? id : special_.end;
        special_.mask = piece.text == kMaskToken ? id : special_.mask;
      }
    }
  }

  int64_t size() const override { return static_cast<int64_t>(model_.pieces.size()); }
  SpecialTokens special() const override { return special_; }

  // A word begins with a space, or is a sign, or a character of a language that has no spaces.
  bool GoesOn(int32_t id) const override {
    const Piece& piece = PieceOf(id);
    if (piece.type == Type::kByte) {
      return true;
    }
    if (piece.type != Type::kNormal || absl::StartsWith(piece.text, kSpacePiece)) {
      return false;
    }
    absl::string_view text = piece.text;
    const char32_t first = TakeCharacter(text);
    return IsWordPart(first) && !IsWide(first);
  }

  void Encode(absl::string_view utf8, std::vector<int32_t>& ids) const override {
    EncodeSpaced(utf8, model_.space_before, ids);
  }

  void EncodeBesideMask(absl::string_view utf8, bool joined,
                        std::vector<int32_t>& ids) const override {
    EncodeSpaced(absl::StripAsciiWhitespace(utf8), !joined, ids);
  }

  std::string Decode(std::span<const int32_t> ids) const override {
    return WholeUtf8(DecodeBytes(ids));
  }

  std::string DecodeBytes(std::span<const int32_t> ids) const override {
    std::string text;
    bool at_begin = model_.space_before;  // whose space is none of the text
    for (const int32_t id : ids) {
      const Piece& piece = PieceOf(id);
      if (id == special_.mask) {
        absl::StrAppend(&text, at_begin ? "" : " ", kMaskToken);
      } else if (piece.type == Type::kControl) {
        continue;
      } else if (piece.type == Type::kByte) {
        text.push_back(static_cast<char>(ByteOfPiece(piece.text)));
      } else if (piece.type == Type::kUnknown) {
        absl::StrAppend(&text, kSpecialTokens[0]);
      } else {
        absl::string_view written = piece.text;
        if (at_begin) {
          absl::ConsumePrefix(&written, kSpacePiece);
        }
        absl::StrAppend(&text, absl::StrReplaceAll(written, {{kSpacePiece, " "}}));
      }
      at_begin = false;
    }
    return text;
  }

  nlohmann::json ToJson() const override {
    return {{"kind", "sentencepiece"}, {"model", absl::Base64Escape(bytes_)}};
  }

 private:
  const Piece& PieceOf(int32_t id) const { return model_.pieces[static_cast<size_t>(id)]; }

  void EncodeSpaced(absl::string_view utf8, bool space_before, std::vector<int32_t>& ids) const {
    const std::string text = WithSpacesAsPieces(utf8, space_before);
    bool behind_unknown = false;  // unknown characters that follow one another are one token
    const auto add = [&](absl::string_view part, int32_t id) {
      const bool unknown = id == special_.unknown;
      if (unknown && model_.byte_fallback) {
        for (const char byte : part) {
          ids.push_back(byte_ids_[static_cast<uint8_t>(byte)]);
        }
      } else if (!unknown || !behind_unknown) {
        ids.push_back(id);
      }
      behind_unknown = unknown;
    };
    for (absl::string_view left = text; !left.empty();) {
      const size_t size = StretchOf(left);
      search_->Divide(left.substr(0, size), add);
      left.remove_prefix(size);
    }
  }

  // As the library's normalizer writes a text.
  std::string WithSpacesAsPieces(absl::string_view utf8, bool space_before) const {
    if (model_.single_spaces) {
      while (absl::ConsumePrefix(&utf8, " ")) {
      }
    }
    std::string text;
    if (utf8.empty()) {
      return text;
    }
    text.reserve(utf8.size() + utf8.size() / 2);
    if (space_before) {
      text.append(kSpacePiece.data(), kSpacePiece.size());
    }
    char before = 'x';
    for (const char byte : utf8) {
      if (byte != ' ') {
        text.push_back(byte);
      } else if (!model_.single_spaces || before != ' ') {
        text.append(kSpacePiece.data(), kSpacePiece.size());
      }
      before = byte;
    }
    while (model_.single_spaces && absl::EndsWith(text, kSpacePiece)) {
      text.resize(text.size() - kSpacePiece.size());
    }
    return text;
  }

  // How many bytes are read at once: all, or up to the last place within kLongestStretch where no
  // piece reaches over, or else up to the next one.
  size_t StretchOf(absl::string_view text) const {
    const auto may_end = [&](size_t at) {
      const absl::string_view before = text.substr(0, at), behind = text.substr(at);
      return (newlines_are_alone_ && behind[0] == '\n') ||
             (ends_between_words_ && absl::StartsWith(behind, kSpacePiece) &&
              !absl::EndsWith(before, kSpacePiece));
    };
    if (text.size() <= kLongestStretch) {
      return text.size();
    }
    for (size_t at = kLongestStretch; at > 0; --at) {
      if (may_end(at)) {
        return at;
      }
    }
    size_t at = kLongestStretch;
    while (at < text.size() && !may_end(at)) {
      ++at;
    }
    return at;
  }

  const std::string bytes_;
  const SentencePieceModel model_;
  const std::unique_ptr<const PieceSearch> search_;
  const bool ends_between_words_;
  const bool newlines_are_alone_;
  SpecialTokens special_;
  int32_t byte_ids_[256] = {};
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Tokenizer>> NewSentencePieceTokenizer(
    absl::string_view model) {
  HONE_ASSIGN_OR_RETURN(SentencePieceModel parsed, SentencePieceModel::Parse(model));
  if (!parsed.precompiled_map.empty()) {
    return absl::InvalidArgumentError(
        "models of SentencePiece with rules of their own by which characters are replaced are "
        "not read; data.text.cleaning.normalization is that step here");
  }
  return std::make_unique<SentencePieceTokenizer>(std::string(model), std::move(parsed));
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> TrainSentencePieces(
    const SentencePieceTokens& options, const Corpus& corpus) {
  HONE_ASSIGN_OR_RETURN(const std::string model, TrainSentencePieceModel(options, corpus));
  return NewSentencePieceTokenizer(model);
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> SentencePiecesFromJson(
    const nlohmann::json& json) {
  std::string model;
  if (!absl::Base64Unescape(json.at("model").get<std::string>(), &model)) {
    return absl::InvalidArgumentError("`tokenizer.model` is no Base64");
  }
  return NewSentencePieceTokenizer(model);
}

}  // namespace hone::engine::text
