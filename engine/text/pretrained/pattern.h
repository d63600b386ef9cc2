#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/text/pretrained/json_part.h"

namespace hone::engine::text {

// What a text is searched for: a string, or a regular expression of PCRE2 with Unicode's
// properties. Immutable: any number of threads may use it.
class Pattern {
 public:
  // The bytes [begin, end) of the text, a part that matches or one between two matches.
  using Found = absl::FunctionRef<void(size_t begin, size_t end, bool matches)>;

  virtual ~Pattern() = default;
  // From left to right, all of the text. What cannot be matched within the limit of steps is one
  // part that does not match; NewPattern has tried that it does not come to this with texts that
  // commonly make patterns explode.
  virtual void Divide(absl::string_view text, Found found) const = 0;
};

// INVALID_ARGUMENT: PCRE2 does not take the pattern, or matching it takes a number of steps that
// grows much faster than the text.
absl::StatusOr<std::unique_ptr<const Pattern>> NewRegex(const std::string& pattern);
std::unique_ptr<const Pattern> NewLiteral(std::string text);

// Of {"String": …} or {"Regex": …}; never null.
std::unique_ptr<const Pattern> ReadPattern(const JsonPart& json);

// What stands in for each match of a pattern: the parts `Replace`.
struct Replacement {
  std::unique_ptr<const Pattern> pattern;  // never null
  std::string content;
};
// Multiplies `growth`, by which all replacements of a tokenizer, one after the other, may make a
// text longer, by its own; more than 4096 times is an error.
Replacement ReadReplacement(const JsonPart& json, double& growth);
// The same of a part that may make a text `factor` times as long.
void MultiplyGrowth(const JsonPart& json, double factor, double& growth);

}  // namespace hone::engine::text
