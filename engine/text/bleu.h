#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace hone::engine::text {

// The words of a line as mteval-v13a has them, which is how BLEU is compared: marks of ASCII stand
// alone, but for apostrophes, for dashes that are not behind a digit, and for periods and commas
// between digits; the rest is cut at white space. &quot; &amp; &lt; &gt; become characters.
std::vector<std::string> Tokenize13a(absl::string_view utf8);

// BLEU of all lines together (Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine
// Translation", 2002): pieces of 1 to 4 words, of which as many count as one of the references has
// at most; the brevity penalty by the references closest in length, of two the shorter. Where
// pieces of a length have no match at all, their precision is 1 ÷ (2^k of them), for the k-th such
// length. The figures are those of sacreBLEU's corpus_bleu (Post, "A Call for Clarity in Reporting
// BLEU Scores", 2018) with its defaults, whose signature is signature().
class Bleu {
 public:
  // A line and what it could have been, at least one.
  void Add(absl::string_view hypothesis, std::span<const std::string> references);

  // From 0 to 100; 0 without lines.
  double score() const;
  // "nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp"; nrefs is a number where all lines have as
  // many.
  std::string signature() const;

 private:
  static constexpr size_t kMost = 4;  // words in a piece

  std::array<int64_t, kMost> matches_ = {};  // by the words of a piece, less 1
  std::array<int64_t, kMost> pieces_ = {};
  int64_t words_ = 0;
  int64_t reference_words_ = 0;
  int64_t fewest_references_ = 0;
  int64_t most_references_ = 0;
};

}  // namespace hone::engine::text
