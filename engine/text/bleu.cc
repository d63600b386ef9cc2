#include "engine/text/bleu.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/text/ngrams.h"
#include "engine/text/unicode.h"

namespace hone::engine::text {
namespace {

bool IsPeriodOrComma(char c) { return c == '.' || c == ','; }

// Of ASCII, all that is no letter, digit or control character, but for ' , - and .
bool StandsAlone(char c) {
  return absl::ascii_ispunct(static_cast<unsigned char>(c)) && c != '\'' && c != ',' && c != '-' &&
         c != '.';
}

// As Python cuts words.
bool IsGap(char32_t character) {
  return IsSpace(character) || (character >= 0x1c && character <= 0x1f);
}

// A copy in which `replace` wrote something for two bytes in a row, or gave false; what was
// replaced is not looked at again.
template <typename Replace>
std::string ReplacePairs(const std::string& line, const Replace& replace) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    if (i + 1 < line.size() && replace(line[i], line[i + 1], out)) {
      ++i;
    } else {
      out += line[i];
    }
  }
  return out;
}

std::string Separate(absl::string_view line) {
  std::string apart = " ";
  for (const char c : line) {
    if (StandsAlone(c)) {
      apart += ' ';
      apart += c;
      apart += ' ';
    } else {
      apart += c;
    }
  }
  apart += ' ';
  const auto digit = [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); };
  apart = ReplacePairs(apart, [&](char a, char b, std::string& out) {
    const bool found = !digit(a) && IsPeriodOrComma(b);
    if (found) {
      out += {a, ' ', b, ' '};
    }
    return found;
  });
  apart = ReplacePairs(apart, [&](char a, char b, std::string& out) {
    const bool found = IsPeriodOrComma(a) && !digit(b);
    if (found) {
      out += {' ', a, ' ', b};
    }
    return found;
  });
  return ReplacePairs(apart, [&](char a, char b, std::string& out) {
    const bool found = digit(a) && b == '-';
    if (found) {
      out += {a, ' ', b, ' '};
    }
    return found;
  });
}

std::vector<std::string> CutAtGaps(absl::string_view line) {
  std::vector<std::string> words;
  bool inside = false;
  while (!line.empty()) {
    const absl::string_view begin = line;
    if (IsGap(TakeCharacter(line))) {
      inside = false;
      continue;
    }
    if (!inside) {
      words.emplace_back();
      inside = true;
    }
    absl::StrAppend(&words.back(), begin.substr(0, begin.size() - line.size()));
  }
  return words;
}

// White space at its end.
absl::string_view WithoutEnd(absl::string_view line) {
  absl::string_view rest = line;
  size_t end = 0;
  while (!rest.empty()) {
    if (!IsGap(TakeCharacter(rest))) {
      end = line.size() - rest.size();
    }
  }
  return line.substr(0, end);
}

// Numbers for words.
class Words {
 public:
  std::vector<int32_t> NumbersOf(absl::string_view line) {
    std::vector<int32_t> numbers;
    for (std::string& word : Tokenize13a(line)) {
      const auto next = static_cast<int32_t>(numbers_.size());
      numbers.push_back(numbers_.try_emplace(std::move(word), next).first->second);
    }
    return numbers;
  }

 private:
  absl::flat_hash_map<std::string, int32_t> numbers_;
};

}  // namespace

std::vector<std::string> Tokenize13a(absl::string_view utf8) {
  std::string line(WithoutEnd(utf8));
  // One after the other: what one makes, the next may replace.
  for (const auto& [from, to] :
       {std::pair("<skipped>", ""), std::pair("-\n", ""), std::pair("\n", " "),
        std::pair("&quot;", "\""), std::pair("&amp;", "&"), std::pair("&lt;", "<"),
        std::pair("&gt;", ">")}) {
    line = absl::StrReplaceAll(line, {{from, to}});
  }
  return CutAtGaps(Separate(line));
}

void Bleu::Add(absl::string_view hypothesis, std::span<const std::string> references) {
  Words words;
  const std::vector<int32_t> line = words.NumbersOf(hypothesis);
  const auto length = static_cast<int64_t>(line.size());
  NgramCounts<kMost> most;  // of any of the references
  int64_t closest = -1;
  for (const std::string& reference : references) {
    const std::vector<int32_t> other = words.NumbersOf(reference);
    const NgramCounts<kMost> counts = CountNgrams<kMost>(other);
    for (size_t n = 0; n < kMost; ++n) {
      for (const auto& [piece, count] : counts[n]) {
        int64_t& known = most[n][piece];
        known = std::max(known, count);
      }
    }
    const auto other_length = static_cast<int64_t>(other.size());
    const int64_t far = std::abs(length - other_length), near = std::abs(length - closest);
    if (closest < 0 || far < near || (far == near && other_length < closest)) {
      closest = other_length;
    }
  }
  const NgramCounts<kMost> counts = CountNgrams<kMost>(line);
  for (size_t n = 0; n < kMost; ++n) {
    for (const auto& [piece, count] : counts[n]) {
      pieces_[n] += count;
      const auto found = most[n].find(piece);
      matches_[n] += found == most[n].end() ? 0 : std::min(count, found->second);
    }
  }
  const auto given = static_cast<int64_t>(references.size());
  fewest_references_ = most_references_ == 0 ? given : std::min(fewest_references_, given);
  most_references_ = std::max(most_references_, given);
  words_ += length;
  reference_words_ += std::max<int64_t>(closest, 0);
}

double Bleu::score() const {
  if (std::ranges::all_of(matches_, [](int64_t count) { return count == 0; })) {
    return 0;
  }
  double smoothing = 1, logs = 0;
  for (size_t n = 0; n < kMost; ++n) {
    if (pieces_[n] == 0) {
      return 0;
    }
    double matches = static_cast<double>(matches_[n]);
    if (matches_[n] == 0) {
      smoothing *= 2;
      matches = 1 / smoothing;
    }
    logs += std::log(matches / static_cast<double>(pieces_[n]));
  }
  const double shortness = static_cast<double>(reference_words_) / static_cast<double>(words_);
  const double penalty = words_ < reference_words_ ? std::exp(1 - shortness) : 1;
  return 100 * penalty * std::exp(logs / static_cast<double>(kMost));
}

std::string Bleu::signature() const {
  return absl::StrCat(
      "nrefs:",
      fewest_references_ == most_references_ ? absl::StrCat(most_references_) : std::string("var"),
      "|case:mixed|eff:no|tok:13a|smooth:exp");
}

}  // namespace hone::engine::text
