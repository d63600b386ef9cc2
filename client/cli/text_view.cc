#include "client/cli/text_view.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace hone::client::cli {
namespace {

constexpr int kNumbersShown = 6;

double Dot(const v1::Prediction::Embedded& a, const v1::Prediction::Embedded& b) {
  double sum = 0;
  for (int i = 0; i < std::min(a.values_size(), b.values_size()); ++i) {
    sum += double{a.values(i)} * double{b.values(i)};
  }
  return sum;
}

}  // namespace

void AddNearest(const std::vector<Candidate>& candidates, int shown,
                v1::Prediction::Embedded& embedded) {
  std::vector<std::pair<double, const Candidate*>> found;
  for (const Candidate& candidate : candidates) {
    found.emplace_back(Dot(embedded, *candidate.vector), &candidate);
  }
  std::ranges::stable_sort(found, std::greater(), &std::pair<double, const Candidate*>::first);
  found.resize(std::min(found.size(), static_cast<size_t>(shown)));
  for (const auto& [similarity, candidate] : found) {
    v1::Prediction::Neighbour& neighbour = *embedded.add_nearest();
    neighbour.set_text(candidate->text);
    neighbour.set_similarity(similarity);
  }
}

std::vector<Line> EmbeddedLines(const v1::Prediction::Embedded& embedded) {
  std::vector<Line> lines;
  if (embedded.has_similarity()) {
    lines.push_back(Line()
                        .Add("   similarity ")
                        .Add(absl::StrFormat("%.4f", embedded.similarity()), Style::kBold));
  }
  for (const v1::Prediction::Neighbour& neighbour : embedded.nearest()) {
    const bool first = &neighbour == &embedded.nearest(0);
    lines.push_back(Line()
                        .Add(absl::StrFormat("   %7.4f  ", neighbour.similarity()), Style::kDim)
                        .Add(neighbour.text(), first ? Style::kBold : Style::kPlain));
  }
  if (!lines.empty() || embedded.values_size() == 0) {
    return lines;
  }
  std::string numbers;
  for (int i = 0; i < std::min(embedded.values_size(), kNumbersShown); ++i) {
    absl::StrAppendFormat(&numbers, "%s%.4f", i == 0 ? "" : " ", embedded.values(i));
  }
  if (embedded.values_size() > kNumbersShown) {
    absl::StrAppend(&numbers, " …");
  }
  lines.push_back(Line().Add("   ").Add(numbers, Style::kBold));
  lines.push_back(Line().Add(
      absl::StrCat("   ", embedded.values_size(), " numbers; --output json has them all"),
      Style::kDim));
  return lines;
}

std::vector<Line> TaggedLines(const v1::Prediction::Tagged& tagged) {
  int width = 0;
  for (const v1::Prediction::Word& word : tagged.words()) {
    width = std::max(width, Columns(word.text()));
  }
  std::vector<Line> lines;
  for (const v1::Prediction::Word& word : tagged.words()) {
    const bool outside = word.tag() == "O";
    Line line;
    line.Add("   ")
        .Add(word.text(), outside ? Style::kPlain : Style::kBold)
        .PadTo(width + 5)
        .Add(word.tag(), outside ? Style::kDim : Style::kTrain)
        .PadTo(width + 17)
        .Add(absl::StrFormat("%6.2f %%", 100 * word.probability()), Style::kDim);
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace hone::client::cli
