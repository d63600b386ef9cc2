#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "absl/strings/string_view.h"

namespace hone::engine::text {

// chrF of all lines together (Popović, "chrF: character n-gram F-score for automatic MT
// evaluation", 2015): the F-score, with recall counting twice as much, of precision and recall of
// pieces of 1 to 6 characters without white space, each the mean over the lengths that both sides
// have. Of several references the one with the best score of the line counts. The figures are those
// of sacreBLEU's corpus_chrf with its defaults, whose signature is signature().
class Chrf {
 public:
  // A line and what it could have been, at least one.
  void Add(absl::string_view hypothesis, std::span<const std::string> references);

  // From 0 to 100; 0 without lines.
  double score() const;
  // "nrefs:var|case:mixed|eff:yes|nc:6|nw:0|space:no"; nrefs is a number where all lines have as
  // many.
  std::string signature() const;

 private:
  static constexpr size_t kMost = 6;  // characters in a piece

  // Of the pieces of one length.
  struct Counts {
    int64_t hypothesis = 0;
    int64_t reference = 0;
    int64_t matches = 0;
  };
  using AllCounts = std::array<Counts, kMost>;  // by the characters of a piece, less 1

  static double Score(const AllCounts& counts);

  AllCounts sums_ = {};
  int64_t fewest_references_ = 0;
  int64_t most_references_ = 0;
};

}  // namespace hone::engine::text
