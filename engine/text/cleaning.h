#pragma once

#include <array>
#include <cstdint>
#include <string>

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

}  // namespace hone::engine::text
