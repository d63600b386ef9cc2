#include "client/jobfile/problems.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace hone::client::jobfile {
namespace {

constexpr size_t kShown = 20;

// Lower case, without what separates words: batchSize, batch-size and batch_size are the same.
std::string Folded(absl::string_view name) {
  std::string folded;
  for (const char c : name) {
    if (absl::ascii_isalnum(c)) {
      folded.push_back(absl::ascii_tolower(c));
    }
  }
  return folded;
}

// Levenshtein's distance.
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string Problem::ToString() const {
  // "--set a.b" has said the field already.
  const bool said = field.empty() || absl::EndsWith(where, absl::StrCat(" ", field));
  return absl::StrCat(where, ": ", said ? "" : absl::StrCat(field, ": "), what);
}

absl::Status Problems::ToStatus() const {
  if (list_.empty()) {
    return absl::OkStatus();
  }
  std::string text;
  for (size_t i = 0; i < std::min(list_.size(), kShown); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : "\n", list_[i].ToString());
  }
  if (list_.size() > kShown) {
    absl::StrAppend(&text, "\nand ", list_.size() - kShown, " more");
  }
  return absl::InvalidArgumentError(text);
}

std::string Nearest(absl::string_view given, const std::vector<std::string>& known) {
  // A long word is not a typing error; Distance takes the product of the lengths.
  const std::string folded = Folded(given.substr(0, 64));
  if (folded.empty() || given.size() > 64) {
    return "";
  }
  std::string best;
  size_t best_distance = std::max<size_t>(1, folded.size() / 3) + 1;
  for (const std::string& name : known) {
    const std::string candidate = Folded(name);
    const bool part = folded.size() >= 3 && candidate.size() >= 3 &&
                      (absl::StartsWith(candidate, folded) || absl::StartsWith(folded, candidate));
    const size_t distance =
        part ? std::min<size_t>(1, Distance(folded, candidate)) : Distance(folded, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = name;
    }
  }
  return best;
}

}  // namespace hone::client::jobfile
