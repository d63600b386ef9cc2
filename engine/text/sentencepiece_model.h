#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::engine::text {

// What a model file of SentencePiece ("tokenizer.model") says, as far as texts are encoded by it.
// Source of the format: sentencepiece_model.proto of SentencePiece 0.1.97.
struct SentencePieceModel {
  enum class Algorithm { kUnigram, kBpe };
  enum class Type { kNormal, kUnknown, kControl, kUserDefined, kUnused, kByte };
  struct Piece {
    std::string text;  // UTF-8; a space is written U+2581
    float score = 0;   // unigram: a logarithm of a probability; BPE: higher ones are merged first
    Type type = Type::kNormal;
  };

  // INVALID_ARGUMENT: the bytes are no such model; it has pieces that are empty, no UTF-8 or twice,
  // not one unknown piece, or scores that are no numbers; it lacks a piece for some byte although
  // bytes shall stand for unknown characters; or it has what is not read here: another algorithm,
  // spaces behind words.
  static absl::StatusOr<SentencePieceModel> Parse(absl::string_view bytes);

  Algorithm algorithm = Algorithm::kUnigram;
  std::vector<Piece> pieces = {};  // by id
  bool byte_fallback = false;      // an unknown character becomes the pieces of its bytes
  bool space_before = true;        // a text is read as if a space stood before it
  bool single_spaces = true;       // spaces around a text are dropped, several are one
  // By which characters are replaced before (pretrained/precompiled_map.h); empty: none are.
  std::string precompiled_map = {};
};

// How a space is written in pieces, U+2581.
inline constexpr absl::string_view kSpacePiece = "\xE2\x96\x81";

// The byte that a piece "<0x0A>" stands for; −1: it is not written so.
int ByteOfPiece(absl::string_view text);

}  // namespace hone::engine::text
