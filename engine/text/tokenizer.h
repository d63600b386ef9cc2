#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/text/corpus.h"
#include "engine/text/words.h"

namespace hone::engine::text {

// Tokens with a meaning of their own, by their ids; −1 where a tokenizer has none.
struct SpecialTokens {
  int32_t unknown = 0;  // what the vocabulary does not have
  int32_t begin = 1;    // of a text
  int32_t end = 2;
  int32_t mask = -1;  // stands where a word shall be found

  bool Has(int32_t id) const { return id == unknown || id == begin || id == end || id == mask; }
};
// How those are written, and what the first ids of the tokenizers that are trained here are.
inline constexpr absl::string_view kSpecialTokens[] = {"<unk>", "<s>", "</s>"};
// What stands behind these where a tokenizer is trained with one. It is no part of any text:
// whoever reads it in one (tasks/filling.h) puts the id there.
inline constexpr absl::string_view kMaskToken = "[MASK]";

// Turns a text into numbers and back. Immutable: any number of threads may use it. What a text is
// cleaned by has happened before (cleaning.h).
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Ids are at least 0 and below it.
  virtual int64_t size() const = 0;
  virtual SpecialTokens special() const = 0;
  // The token goes on with the word that the token before it belongs to. As it stands here: each
  // token is a word, or nothing is known of words.
  virtual bool GoesOn(int32_t) const { return false; }
  // Appends the text's ids; no begin and no end among them. `utf8` is UTF-8.
  virtual void Encode(absl::string_view utf8, std::vector<int32_t>& ids) const = 0;
  // Where a text may be cut so that its two parts have the ids of the whole: the last such place
  // before or at `most`, in bytes. 0: none is known, as it stands here.
  virtual size_t CutBefore(absl::string_view, size_t) const { return 0; }
  // The same for a part of a text that stands before or behind a mask token; `joined`: behind one,
  // with no space between.
  virtual void EncodeBesideMask(absl::string_view utf8, bool /*joined*/,
                                std::vector<int32_t>& ids) const {
    Encode(utf8, ids);
  }
  // The text of ids that the tokenizer has; of begin and end nothing. UTF-8.
  virtual std::string Decode(std::span<const int32_t> ids) const = 0;
  // The same where tokens may be parts of characters: their bytes as they are.
  virtual std::string DecodeBytes(std::span<const int32_t> ids) const { return Decode(ids); }
  // {"kind": …} and all that TokenizerFromJson needs.
  virtual nlohmann::json ToJson() const = 0;
};

// Every character of the texts, in the order of Unicode.
struct CharacterTokens {
  bool mask = false;  // there is a mask token
};
// The words that occur most often; of equally frequent ones those first in the order of their
// bytes.
struct WordTokens {
  int64_t vocabulary = 10000;  // tokens at most, the special ones among them
  int64_t min_count = 1;       // rarer words are left out
  WordSplit split = WordSplit::kPunctuation;
  bool mask = false;  // there is a mask token
  // Of kPunctuation: a sign stands without a space beside a word where it mostly does so in these
  // texts ("vivez-vous ?"); else Decode puts a space between any two words.
  bool spacing = false;
};
// Parts of words, which the library SentencePiece finds in the texts. A line break and a tabulator
// that the texts have are tokens by themselves; any text of known characters comes back as it was.
struct SentencePieceTokens {
  enum class Algorithm { kUnigram, kBpe };
  Algorithm algorithm = Algorithm::kUnigram;
  int64_t vocabulary = 8000;  // tokens, the special ones among them; no more and no fewer
  // The share of the texts' characters that have tokens; the rarest ones beyond it are unknown.
  double character_coverage = 0.9995;
  bool byte_fallback = false;  // unknown characters become the tokens of their bytes, 256 more
  bool mask = false;           // there is a mask token
};
using TokenizerOptions = std::variant<WordTokens, CharacterTokens, SentencePieceTokens>;

// The same texts and options give the same tokenizer. INVALID_ARGUMENT where the texts have nothing
// to make tokens of, or the vocabulary is too small for them, or of SentencePieceTokens too large;
// of these also the errors of TrainSentencePieceModel.
absl::StatusOr<std::unique_ptr<const Tokenizer>> TrainTokenizer(const TokenizerOptions& options,
                                                                const Corpus& corpus);
// What Encode gives, piece by piece: visit(ids) for about as many as `piece_bytes` of the text
// have. Where the tokenizer does not say where it may be cut, it is one piece. A visit's error ends
// it.
absl::Status EncodeInPieces(const Tokenizer& tokenizer, absl::string_view utf8, size_t piece_bytes,
                            absl::FunctionRef<absl::Status(std::span<const int32_t> ids)> visit);
// Of what ToJson gave. INVALID_ARGUMENT names the field that is missing or wrong.
absl::StatusOr<std::unique_ptr<const Tokenizer>> TokenizerFromJson(const nlohmann::json& json);

}  // namespace hone::engine::text
