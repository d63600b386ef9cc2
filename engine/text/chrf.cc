#include "engine/text/chrf.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/text/ngrams.h"
#include "engine/text/unicode.h"

namespace hone::engine::text {
namespace {

constexpr double kRecallCounts = 4;  // β², of β = 2

// But white space, as Python has it.
std::vector<int32_t> CharactersOf(absl::string_view line) {
  std::vector<int32_t> characters;
  while (!line.empty()) {
    const char32_t character = TakeCharacter(line);
    if (!IsSpace(character) && (character < 0x1c || character > 0x1f)) {
      characters.push_back(static_cast<int32_t>(character));
    }
  }
  return characters;
}

}  // namespace

double Chrf::Score(const AllCounts& counts) {
  double precision = 0, recall = 0;
  int64_t lengths = 0;
  for (const Counts& of_length : counts) {
    if (of_length.hypothesis > 0 && of_length.reference > 0) {
      const auto matches = static_cast<double>(of_length.matches);
      precision += matches / static_cast<double>(of_length.hypothesis);
      recall += matches / static_cast<double>(of_length.reference);
      ++lengths;
    }
  }
  if (precision + recall == 0) {
    return 0;
  }
  precision /= static_cast<double>(lengths);
  recall /= static_cast<double>(lengths);
  return 100 * (1 + kRecallCounts) * precision * recall / (kRecallCounts * precision + recall);
}

void Chrf::Add(absl::string_view hypothesis, std::span<const std::string> references) {
  const NgramCounts<kMost> line = CountNgrams<kMost>(CharactersOf(hypothesis));
  AllCounts best = {};
  double best_score = -1;
  for (const std::string& reference : references) {
    const NgramCounts<kMost> other = CountNgrams<kMost>(CharactersOf(reference));
    AllCounts counts = {};
    for (size_t n = 0; n < kMost; ++n) {
      for (const auto& [piece, count] : other[n]) {
        counts[n].reference += count;
      }
      for (const auto& [piece, count] : line[n]) {
        // Of a length that the reference has not, nothing counts.
        counts[n].hypothesis += other[n].empty() ? 0 : count;
        const auto found = other[n].find(piece);
        counts[n].matches += found == other[n].end() ? 0 : std::min(count, found->second);
      }
    }
    if (const double score = Score(counts); score > best_score) {
      best_score = score;
      best = counts;
    }
  }
  for (size_t n = 0; n < kMost; ++n) {
    sums_[n].hypothesis += best[n].hypothesis;
    sums_[n].reference += best[n].reference;
    sums_[n].matches += best[n].matches;
  }
  const auto given = static_cast<int64_t>(references.size());
  fewest_references_ = most_references_ == 0 ? given : std::min(fewest_references_, given);
  most_references_ = std::max(most_references_, given);
}

double Chrf::score() const { return Score(sums_); }

std::string Chrf::signature() const {
  return absl::StrCat(
      "nrefs:",
      fewest_references_ == most_references_ ? absl::StrCat(most_references_) : std::string("var"),
      "|case:mixed|eff:yes|nc:6|nw:0|space:no");
}

}  // namespace hone::engine::text
