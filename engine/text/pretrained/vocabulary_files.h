#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::engine::text {

// What the files beside a checkpoint's tokenizer say of it.
struct TokenizerSettings {
  nlohmann::json config;   // tokenizer_config.json
  nlohmann::json special;  // special_tokens_map.json

  // "[CLS]" of "cls_token", which may be an object with its content; empty: nothing is said.
  std::string Token(const std::string& key) const;
  // Of tokenizer_config.json; empty where it is no text or not there.
  std::string Text(const std::string& key) const;
  bool Flag(const std::string& key, bool otherwise) const;
};

// The files of tokenizers from before there was tokenizer.json, as such a document.
// INVALID_ARGUMENT names the file and the line, and says what would be right:
// "merges.txt: line 7: must be two tokens with a space between them, got `abc`".

// vocab.txt of BERT, a token a line.
absl::StatusOr<nlohmann::json> FromVocabularyFile(absl::string_view text,
                                                  const TokenizerSettings& settings);

// vocab.json, an object of tokens and their ids, and merges.txt of GPT-2 and RoBERTa.
absl::StatusOr<nlohmann::json> FromMergesFile(nlohmann::json vocabulary, absl::string_view merges,
                                              const TokenizerSettings& settings);

}  // namespace hone::engine::text
