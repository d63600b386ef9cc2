#include "engine/text/cleaning.h"

#include <utility>

#include "engine/text/html.h"

namespace hone::engine::text {
namespace {

std::string WithoutControlCharacters(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    if (const char32_t character = TakeCharacter(text); !IsControl(character)) {
      AppendCharacter(character, out);
    }
  }
  return out;
}

std::string WithSingleSpaces(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool space = false;
  while (!text.empty()) {
    const char32_t character = TakeCharacter(text);
    if (IsSpace(character)) {
      space = !out.empty();
      continue;
    }
    if (std::exchange(space, false)) {
      out.push_back(' ');
    }
    AppendCharacter(character, out);
  }
  return out;
}

}  // namespace

std::string Clean(absl::string_view utf8, const CleaningOptions& options, CleaningCounts* counts) {
  std::string text(utf8);
  size_t step = 0;
  const auto apply = [&](bool wanted, auto&& change) {
    if (wanted) {
      std::string changed = change(text);
      if (counts != nullptr) {
        counts->steps[step].changed += changed != text ? 1 : 0;
      }
      text = std::move(changed);
    }
    ++step;
  };
  apply(options.html, StripHtml);
  apply(options.normalization != Normalization::kNone,
        [&](const std::string& was) { return Normalize(was, options.normalization); });
  apply(options.lower_case, ToLower);
  apply(options.control_characters, WithoutControlCharacters);
  apply(options.white_space, WithSingleSpaces);
  return text;
}

}  // namespace hone::engine::text
