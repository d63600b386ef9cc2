#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/text/cleaning.h"
#include "engine/text/tokenizer.h"

namespace hone::engine::data {

// What turns a text into the numbers that a model reads. Kept with the model, so that whoever asks
// it has the same tokens as the training. Copies share the tokenizer.
struct TextPreprocessing {
  text::CleaningOptions cleaning = {};
  std::shared_ptr<const text::Tokenizer> tokenizer = nullptr;
  int64_t max_tokens = 0;  // what a text has behind these is cut off; 0: nothing is

  // Of a text as somebody wrote it, in UTF-8. At least one: of a text without any, the unknown one.
  std::vector<int32_t> Encode(absl::string_view utf8) const;
  // Of a text that has been cleaned, with what Encode would cut off.
  std::vector<int32_t> EncodeCleaned(absl::string_view cleaned) const;

  // Any text has the same tokens here as there, but for the length.
  bool HasTokensOf(const TextPreprocessing& other) const;

  nlohmann::json ToJson() const;
  // INVALID_ARGUMENT names what is wrong; throws nlohmann::json::exception where a field is missing
  // or of another type.
  static absl::StatusOr<TextPreprocessing> FromJson(const nlohmann::json& json);

  friend bool operator==(const TextPreprocessing& a, const TextPreprocessing& b);
};

}  // namespace hone::engine::data
