#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/text/chat.h"
#include "engine/text/cleaning.h"
#include "engine/text/tokenizer.h"

namespace hone::engine::data {

// What turns a text into the numbers that a model reads. Kept with the model, so that whoever asks
// it has the same tokens as the training. Copies share the tokenizer.
//
// A pair of texts is one row of tokens: <s> first </s> second </s>, by the tokenizer's special
// tokens; one without a token that begins texts leaves that out.
struct TextPreprocessing {
  text::CleaningOptions cleaning = {};
  std::shared_ptr<const text::Tokenizer> tokenizer = nullptr;
  // What a text has behind these is cut off; of a pair that has more, the end of the longer one. 0:
  // nothing is.
  int64_t max_tokens = 0;
  bool pairs = false;  // an example is a pair of texts
  // Around a text, or a pair, stand the tokens that the template of the tokenizer's checkpoint
  // puts there ("[CLS] text [SEP]"): the tokenizer is a text::PretrainedTokenizer.
  bool in_template = false;
  // How conversations are written, of a model that answers them.
  std::optional<text::ChatTemplate> chat = {};
  // The template of the model's checkpoint, as its folder has it: a text in Jinja; empty: none.
  std::string chat_template = {};

  // Of a text as somebody wrote it, in UTF-8. At least one: of a text without any, the unknown one.
  std::vector<int32_t> Encode(absl::string_view utf8) const;
  std::vector<int32_t> EncodePair(absl::string_view first, absl::string_view second) const;
  // Of a text that has been cleaned, and of a pair, with what would be cut off.
  std::vector<int32_t> EncodeCleaned(absl::string_view cleaned) const;
  std::vector<int32_t> EncodeCleanedPair(absl::string_view first, absl::string_view second) const;
  // Cuts off what is too long.
  void Cut(std::vector<int32_t>& ids) const;
  // What stands behind each text of a pair; −1 where there are no pairs.
  int32_t separator() const { return pairs ? tokenizer->special().end : -1; }

  // The least max_tokens of pairs: one of each text beside the special ones.
  static constexpr int64_t kLeastOfAPair = 5;
  // Of a text in a template, likewise.
  static constexpr int64_t kLeastInTemplate = 3;

  // Any text has the same tokens here as there, but for the length, and for what stands around it
  // in a template, which a running text does without.
  bool HasTokensOf(const TextPreprocessing& other) const;

  nlohmann::json ToJson() const;
  // INVALID_ARGUMENT names what is wrong; throws nlohmann::json::exception where a field is missing
  // or of another type.
  static absl::StatusOr<TextPreprocessing> FromJson(const nlohmann::json& json);

  friend bool operator==(const TextPreprocessing& a, const TextPreprocessing& b);
};

}  // namespace hone::engine::data
