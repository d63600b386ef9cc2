#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace hone::engine::data {

// The tokens that the texts of a part have become.
struct TokenReport {
  int64_t tokens = 0;
  int64_t unknown = 0;           // of them
  int64_t cut = 0;               // texts that had more tokens than are kept
  int64_t longest = 0;           // tokens of a text, before it was cut
  std::string longest_where;     // that text
  std::vector<int64_t> lengths;  // texts of 1 token, of 2, of 3 to 4, of 5 to 8, …, as cut
};

struct SplitReport {
  int64_t examples = 0;
  std::vector<int64_t> class_counts;       // in the order of the class names; empty for regression
  std::optional<TokenReport> tokens = {};  // texts; of pairs the sources
  std::optional<TokenReport> target_tokens = {};  // pairs
};

// A reason to drop an example.
inline constexpr char kDamagedPicture[] = "damaged picture";

struct Dropped {
  struct Place {
    std::string where;     // a file, a line
    std::string why = {};  // what is wrong with it, where the reason does not say all
    std::string ToString() const;
  };
  std::string reason;  // "exact copy of an earlier example"
  int64_t count = 0;
  std::vector<Place> first;  // the first few
};

// What was read, what was left out and why, and how the rest was split.
struct DataReport {
  // "local mirror …", "cache …", "downloaded from …", "generated digits …", or a path.
  std::string source;
  std::string format;  // a name of the format table
  int64_t examples_read = 0;
  std::vector<Dropped> dropped;
  int64_t duplicates = 0;  // exact copies of an earlier example of the same part, dropped or not
  // Test examples that are exact copies of a training example.
  int64_t duplicates_across_parts = 0;
  int64_t contradictions = 0;  // same features as an earlier example, another target
  int64_t missing_cells = 0;
  SplitReport train;
  SplitReport validation;
  SplitReport test;
  std::vector<std::string> notes;  // sentences a person should read

  // Counts `count` more examples as dropped for `reason`; keeps the first 20 places.
  void Drop(absl::string_view reason, absl::string_view where, int64_t count = 1);
  void Drop(absl::string_view reason, Dropped::Place place, int64_t count = 1);
  int64_t dropped_examples() const;
  nlohmann::json ToJson() const;
};

}  // namespace hone::engine::data
