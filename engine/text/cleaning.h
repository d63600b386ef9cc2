#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/text/unicode.h"

namespace hone::engine::text {

// What is done to a text before it becomes tokens, each step on its own, in this order.
struct CleaningOptions {
  bool html = false;  // tags leave, references become characters (html.h)
  Normalization normalization = Normalization::kNone;
  bool lower_case = false;
  bool control_characters = false;  // they leave (IsControl)
  bool white_space = false;         // each run of it becomes one space; none stays at either end

  friend bool operator==(const CleaningOptions&, const CleaningOptions&) = default;
};

// How many texts each step has changed.
struct CleaningCounts {
  struct Step {
    absl::string_view name;  // as the options call it
    int64_t changed = 0;
  };
  std::array<Step, 5> steps = {
      {{"html"}, {"normalization"}, {"lower_case"}, {"control_characters"}, {"white_space"}}};
};

// The text after the steps that are wanted; `counts`, unless it is null, is told which of them
// changed it. `utf8` is UTF-8, and so is the result.
std::string Clean(absl::string_view utf8, const CleaningOptions& options, CleaningCounts* counts);

// The same of a text whose result need not be in memory at once: visit(piece) for each piece of it,
// of about `piece_bytes` of the text, one behind the other; none is cut within a character. A
// visit's error ends it. Where characters are normalized, pieces end before one of ASCII, so that a
// text without any is one piece.
absl::Status CleanInPieces(absl::string_view utf8, const CleaningOptions& options,
                           size_t piece_bytes, CleaningCounts* counts,
                           absl::FunctionRef<absl::Status(absl::string_view piece)> visit);

}  // namespace hone::engine::text
