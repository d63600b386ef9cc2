#include "engine/text/sentencepiece_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"

namespace hone::engine::text {
namespace {

constexpr size_t kMostPieces = size_t{1} << 24;

absl::Status NoModel(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("no model of SentencePiece: ", why));
}

// One field of a protocol buffer message.
// Source: https://protobuf.dev/programming-guides/encoding/
struct Field {
  uint64_t number = 0;
  uint64_t value = 0;            // of a varint, and the bits of a fixed32
  absl::string_view bytes = {};  // of what has a length
};

// The fields of a message in their order.
class Fields {
 public:
  explicit Fields(absl::string_view message) : left_(message) {}

  bool done() const { return left_.empty(); }

  absl::StatusOr<Field> Next() {
    HONE_ASSIGN_OR_RETURN(const uint64_t tag, Varint());
    Field field = {.number = tag >> 3};
    switch (tag & 7) {
      case 0: {
        HONE_ASSIGN_OR_RETURN(field.value, Varint());
        return field;
      }
      case 1: {
        HONE_ASSIGN_OR_RETURN(const absl::string_view number, Take(8));
        (void)number;  // no field that is read has eight bytes
        return field;
      }
      case 2: {
        HONE_ASSIGN_OR_RETURN(const uint64_t size, Varint());
        HONE_ASSIGN_OR_RETURN(field.bytes, Take(size));
        return field;
      }
      case 5: {
        HONE_ASSIGN_OR_RETURN(const absl::string_view number, Take(4));
        for (size_t i = 0; i < number.size(); ++i) {
          field.value |= uint64_t{static_cast<uint8_t>(number[i])} << (8 * i);
        }
        return field;
      }
      default:
        return NoModel("a field has an unknown wire type");
    }
  }

 private:
  absl::StatusOr<absl::string_view> Take(uint64_t size) {
    if (size > left_.size()) {
      return NoModel("it ends within a field");
    }
    const absl::string_view taken = left_.substr(0, size);
    left_.remove_prefix(size);
    return taken;
  }

  absl::StatusOr<uint64_t> Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      HONE_ASSIGN_OR_RETURN(const absl::string_view byte, Take(1));
      const auto bits = static_cast<uint8_t>(byte[0]);
      value |= uint64_t{bits & 0x7fU} << shift;
      if ((bits & 0x80) == 0) {
        return value;
      }
    }
    return NoModel("a number has more than 64 bits");
  }

  absl::string_view left_;
};

absl::StatusOr<SentencePieceModel::Piece> ParsePiece(absl::string_view message) {
  using Type = SentencePieceModel::Type;
  SentencePieceModel::Piece piece;
  for (Fields fields(message); !fields.done();) {
    HONE_ASSIGN_OR_RETURN(const Field field, fields.Next());
    if (field.number == 1) {
      piece.text = std::string(field.bytes);
    } else if (field.number == 2) {
      piece.score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
    } else if (field.number == 3) {
      constexpr Type kTypes[] = {Type::kNormal,      Type::kUnknown, Type::kControl,
                                 Type::kUserDefined, Type::kUnused,  Type::kByte};
      if (field.value < 1 || field.value > std::size(kTypes)) {
        return NoModel(absl::StrCat("a piece has the unknown type ", field.value));
      }
      piece.type = kTypes[field.value - 1];
    }
  }
  return piece;
}

absl::Status ParseTraining(absl::string_view message, SentencePieceModel& model) {
  for (Fields fields(message); !fields.done();) {
    HONE_ASSIGN_OR_RETURN(const Field field, fields.Next());
    if (field.number == 3) {
      if (field.value != 1 && field.value != 2) {
        return absl::InvalidArgumentError(
            "models of SentencePiece are read that are unigram or BPE; this one is of words or "
            "characters");
      }
      model.algorithm = field.value == 2 ? SentencePieceModel::Algorithm::kBpe
                                         : SentencePieceModel::Algorithm::kUnigram;
    } else if (field.number == 24 && field.value != 0) {
      return absl::InvalidArgumentError(
          "models of SentencePiece whose spaces stand behind words are not read");
    } else if (field.number == 35) {
      model.byte_fallback = field.value != 0;
    }
  }
  return absl::OkStatus();
}

absl::Status ParseNormalizer(absl::string_view message, SentencePieceModel& model) {
  for (Fields fields(message); !fields.done();) {
    HONE_ASSIGN_OR_RETURN(const Field field, fields.Next());
    if (field.number == 2) {
      model.precompiled_map = std::string(field.bytes);
    } else if (field.number == 3) {
      model.space_before = field.value != 0;
    } else if (field.number == 4) {
      model.single_spaces = field.value != 0;
    } else if (field.number == 5 && field.value == 0) {
      return absl::InvalidArgumentError(
          "models of SentencePiece that do not write spaces as U+2581 are not read");
    }
  }
  return absl::OkStatus();
}

absl::Status Check(const SentencePieceModel& model) {
  using Type = SentencePieceModel::Type;
  absl::flat_hash_set<absl::string_view> seen;
  bool has_byte[256] = {};
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencePieceModel::Piece& piece = model.pieces[id];
    if (piece.text.empty() || Utf8Prefix(piece.text) != piece.text.size()) {
      return NoModel(absl::StrCat("piece ", id, " is ", piece.text.empty() ? "empty" : "no UTF-8"));
    }
    if (!seen.insert(piece.text).second) {
      return NoModel(absl::StrCat("piece ", id, " comes twice: ", piece.text));
    }
    if (!std::isfinite(piece.score)) {
      return NoModel(absl::StrCat("the score of piece ", id, " is no number"));
    }
    if (piece.type == Type::kByte) {
      const int byte = ByteOfPiece(piece.text);
      if (byte < 0) {
        return NoModel(absl::StrCat("piece ", id, " is no byte: ", piece.text));
      }
      has_byte[byte] = true;
    }
  }
  const auto unknown =
      std::ranges::count(model.pieces, Type::kUnknown, &SentencePieceModel::Piece::type);
  if (unknown != 1) {
    return NoModel(absl::StrCat("it has ", unknown, " unknown pieces, which must be 1"));
  }
  if (model.byte_fallback && std::ranges::find(has_byte, false) != std::end(has_byte)) {
    return NoModel("it lacks pieces for some bytes");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SentencePieceModel> SentencePieceModel::Parse(absl::string_view bytes) {
  SentencePieceModel model;
  for (Fields fields(bytes); !fields.done();) {
    HONE_ASSIGN_OR_RETURN(const Field field, fields.Next());
    if (field.number == 1) {
      if (model.pieces.size() == kMostPieces) {
        return NoModel(absl::StrCat("it has more than ", kMostPieces, " pieces"));
      }
      HONE_ASSIGN_OR_RETURN(model.pieces.emplace_back(), ParsePiece(field.bytes));
    } else if (field.number == 2) {
      HONE_RETURN_IF_ERROR(ParseTraining(field.bytes, model));
    } else if (field.number == 3) {
      HONE_RETURN_IF_ERROR(ParseNormalizer(field.bytes, model));
    }
  }
  HONE_RETURN_IF_ERROR(Check(model));
  return model;
}

int ByteOfPiece(absl::string_view text) {
  if (text.size() != 6 || !absl::StartsWith(text, "<0x") || text[5] != '>' ||
      !absl::ascii_isxdigit(static_cast<unsigned char>(text[3])) ||
      !absl::ascii_isxdigit(static_cast<unsigned char>(text[4]))) {
    return -1;
  }
  const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
  return 16 * digit(text[3]) + digit(text[4]);
}

}  // namespace hone::engine::text
