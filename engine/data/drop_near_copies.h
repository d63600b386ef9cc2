#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "engine/data/load.h"
#include "engine/data/report.h"
#include "engine/data/text_rows.h"

namespace hone::engine::data {

// Texts, or pairs of them, by their rows: those of the training part, then those of the validation
// part, then those of the test part.
struct ComparedTexts {
  absl::string_view what;  // "text" or "pair", for the report
  // All that is compared of a row; it stays where it is.
  absl::FunctionRef<absl::string_view(int64_t row)> text;
  absl::FunctionRef<Part(int64_t row)> part;
  absl::FunctionRef<std::string(int64_t row)> where;
};

// Of each group of near copies (text/near_copies.h) among the rows that `keep` has, one stays: of
// the earliest part, and there the first or the longest. The others leave `keep` and are reported
// with the place of the one that stays. A `threshold` of 0 leaves all.
void DropNearCopies(const ComparedTexts& texts, double threshold, TextOptions::Keep which,
                    std::vector<bool>& keep, DataReport& report);

}  // namespace hone::engine::data
