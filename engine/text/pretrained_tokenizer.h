#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/text/tokenizer.h"

namespace hone::engine::text {

// A text, or a pair, as tokens; the vectors are equally long.
struct TokenizedText {
  // The bytes of the text as it was given that a token stands for; of a pair, those of its own
  // text. 0 and 0 for a token that the template adds.
  struct Bytes {
    uint32_t begin = 0, end = 0;

    friend bool operator==(const Bytes&, const Bytes&) = default;
  };

  std::vector<int32_t> ids = {};
  std::vector<Bytes> bytes = {};
  std::vector<int32_t> types = {};  // the segment: token_type_ids
};

// A tokenizer that came with a checkpoint. Immutable: any number of threads may use it. Texts are
// any UTF-8; whatever shall be done to them before (lower case, Unicode's normal forms) it does
// itself.
//
// Encode and EncodeBesideMask give the text's own tokens without what the template adds; special
// tokens that are written in the text are recognised. Decode gives the text without special tokens,
// DecodeBytes its bytes, for texts that grow (growing_text.h).
class PretrainedTokenizer : public Tokenizer {
 public:
  // With the tokens that the checkpoint's template puts around a text or a pair ("[CLS] A [SEP] B
  // [SEP]").
  virtual TokenizedText EncodeInTemplate(absl::string_view utf8) const = 0;
  virtual TokenizedText EncodePairInTemplate(absl::string_view first,
                                             absl::string_view second) const = 0;
  // A text's own tokens with where each stands in it: Encode with the bytes.
  virtual TokenizedText EncodeWithBytes(absl::string_view utf8) const = 0;
  // The same; the bytes of a token are all that it stands for, also where the checkpoint cuts the
  // spaces around it off them (trim_offsets).
  virtual TokenizedText EncodeWithAllBytes(absl::string_view utf8) const = 0;
  // How a token is written in the vocabulary ("##ing", "Ġthe"); empty where no token has the id.
  virtual std::string Written(int32_t id) const = 0;
  // The token that is written so; −1: none is.
  virtual int32_t IdOf(absl::string_view written) const = 0;
  // Belongs to the control of the model and to no text: Decode leaves it out.
  virtual bool IsSpecial(int32_t id) const = 0;
};

// Tokens by what a checkpoint uses them for; −1 where it has none. BERT's [CLS] is `begin`, its
// [SEP] `end`.
struct TokenRoles {
  int32_t unknown = -1;
  int32_t padding = -1;
  int32_t begin = -1;
  int32_t end = -1;
  int32_t mask = -1;

  friend bool operator==(const TokenRoles&, const TokenRoles&) = default;
};

struct ReadTokenizer {
  std::shared_ptr<const PretrainedTokenizer> tokenizer = nullptr;  // never null
  TokenRoles roles = {};
  int64_t max_tokens = 0;          // tokenizer_config.json's model_max_length; 0: it says none
  std::string file = "";           // the file that was read, by its name in the folder
  std::string chat_template = "";  // Jinja's text; empty: there is none
  // What the files say and is not done here, a sentence each, as "tokenizer.json cuts texts off
  // behind 128 tokens; the job's max_tokens is what counts here".
  std::vector<std::string> overridden = {};
};

// Reads the tokenizer of a checkpoint's folder: tokenizer.json, else vocab.txt (WordPiece of BERT),
// else vocab.json with merges.txt (byte-level BPE of GPT-2 and RoBERTa), else tokenizer.model or
// spiece.model, a model of SentencePiece, BPE or unigram. It is used as Llama does, with the begin
// and end that tokenizer_config.json adds; where that says T5Tokenizer, or there is a spiece.model
// and no class, as T5 does, with "</s>" behind each text and "<extra_id_0>" and so on behind the
// pieces. The config's added_tokens_decoder comes on top. Roles are those of tokenizer_config.json
// and special_tokens_map.json, else tokens that are written as the families write them ("[CLS]",
// "<s>", "<|endoftext|>").
//
// NOT_FOUND: the folder has none of these. INVALID_ARGUMENT names the file and in a JSON the path
// to what is missing, wrong or not known: "tokenizer.json: pre_tokenizer.pretokenizers[1].type:
// \"Jieba\" is not known here; known are …"; also of a model of
// SentencePiece that the tokenizer's class uses in another way. Of vocab.txt and merges.txt it
// names the line.
absl::StatusOr<ReadTokenizer> ReadPretrainedTokenizer(const std::string& directory);

// The tokenizer that a tokenizer.json describes, given by its text; its truncation and padding are
// not used, and are told in `overridden` where it is not null. INVALID_ARGUMENT names the path.
absl::StatusOr<std::unique_ptr<const PretrainedTokenizer>> ParseTokenizerJson(
    absl::string_view json, const TokenRoles* roles = nullptr,
    std::vector<std::string>* overridden = nullptr);

// The tokenizer with further tokens, as `add_tokens` of the Python package tokenizers adds texts:
// each is found whole in the normalized text, before that is cut into words, is no special one, and
// has the next id behind the last. INVALID_ARGUMENT: "[1] (\"<a>\"): the tokenizer has it already,
// …" of one that it has, that is empty, no UTF-8 or there twice, or that it would not find in a
// text of that token alone, since it changes or cuts texts before.
absl::StatusOr<std::unique_ptr<const PretrainedTokenizer>> WithNewTokens(
    const PretrainedTokenizer& tokenizer, const std::vector<std::string>& tokens);

// Of {"kind": "pretrained", "tokenizer_json": the text of the file, "roles": {…}}, which ToJson
// gives. Throws nlohmann::json::exception where a field is missing or of another type.
absl::StatusOr<std::unique_ptr<const Tokenizer>> PretrainedFromJson(const nlohmann::json& json);

}  // namespace hone::engine::text
