#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/text/pretrained/json_part.h"

namespace hone::engine::text {

// A token of a word, and the bytes [begin, end) of the word that it stands for.
struct TokenOfWord {
  int32_t id = 0;
  uint32_t begin = 0, end = 0;
};

// Makes tokens of the pieces that pre-tokenizers leave. Immutable: any number of threads may use
// it.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the tokens of a word, which is not empty.
  virtual void Tokenize(absl::string_view word, std::vector<TokenOfWord>& tokens) const = 0;
};

// A model and its vocabulary.
struct ReadModel {
  std::unique_ptr<const TokenModel> model = nullptr;  // null in error
  std::vector<std::string> written = {};              // by id; empty: no token has it
  std::string continuing_prefix = "";                 // of tokens that go on with a word: "##"
  int32_t unknown = -1;
};

// The most ids of a vocabulary, added tokens included.
inline constexpr int64_t kMostTokens = int64_t{1} << 22;

// Of the part `model` of a tokenizer.json. `bytes`: words come as bytes, and tokens are written by
// byte_alphabet.h.
ReadModel ReadTokenModel(const JsonPart& json, bool bytes);

// The kinds, a file each.
//
// The longest piece of the vocabulary from the left, again and again; a word with a part that none
// has is unknown as a whole. Source: Y. Wu et al., "Google's Neural Machine Translation System",
// 2016; J. Devlin et al., "BERT", 2018.
ReadModel ReadWordPiece(const JsonPart& json);
// Neighbours are joined by the rank of their merge, the left ones of equal rank first. Source: R.
// Sennrich, B. Haddow, A. Birch, "Neural Machine Translation of Rare Words with Subword Units",
// 2016.
ReadModel ReadBpe(const JsonPart& json, bool bytes);
// The pieces whose scores have the highest sum. Source: T. Kudo, "Subword Regularization", 2018.
ReadModel ReadUnigram(const JsonPart& json);

// {"token": id, …} into `written`; ids that come twice and more than kMostTokens are errors.
void ReadVocabulary(const JsonPart& json, std::vector<std::string>& written);

}  // namespace hone::engine::text
