#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/text/tokenizer.h"

namespace hone::engine::text {

// INVALID_ARGUMENT where one is empty or no UTF-8: "stop[1]: must not be empty".
absl::Status CheckStops(const std::vector<std::string>& stops);

// A text that comes token by token, and what of it can be shown: whole characters, and nothing that
// may turn out to be a text at which it is to stop. Such a text may begin in one token and end in
// another; it is not shown itself, and neither is what a token has behind it.
class GrowingText {
 public:
  // Goes on behind the token `before`; a token's own text depends on the one before it (a space
  // between words). `held` is what had not been shown when the text so far was left. The tokenizer
  // outlives it.
  GrowingText(const Tokenizer& tokenizer, int32_t before, std::vector<std::string> stops,
              std::string held = "");

  // False where the text stops with it: one of the stop texts is there.
  bool Add(int32_t token);
  // What can be shown and was not yet.
  std::string Take();
  // All that is left, when no more tokens come. Bytes that are no whole character become U+FFFD.
  std::string Finish();
  const std::string& held() const { return held_; }

 private:
  // How many bytes at the end of held_ are the begin of a stop text.
  size_t MayStop() const;

  const Tokenizer& tokenizer_;
  int32_t before_;
  const std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace hone::engine::text
