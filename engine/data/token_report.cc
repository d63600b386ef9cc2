#include "engine/data/token_report.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace hone::engine::data {

void CountText(std::span<const int32_t> tokens, int64_t all, int32_t unknown, std::string where,
               TokenReport& report) {
  const auto kept = static_cast<int64_t>(tokens.size());
  report.tokens += kept;
  report.unknown += std::ranges::count(tokens, unknown);
  report.cut += kept < all ? 1 : 0;
  if (all > report.longest) {
    report.longest = all;
    report.longest_where = std::move(where);
  }
  const auto bin = static_cast<size_t>(std::bit_width(static_cast<uint64_t>(kept - 1)));
  report.lengths.resize(std::max(report.lengths.size(), bin + 1));
  ++report.lengths[bin];
}

std::string Describe(absl::string_view part, const TokenReport& tokens, int64_t max_tokens) {
  const auto percent = [](int64_t share, int64_t whole) {
    return absl::StrFormat("%.1f %%", 100.0 * static_cast<double>(share) /
                                          static_cast<double>(std::max<int64_t>(whole, 1)));
  };
  const int64_t texts = std::accumulate(tokens.lengths.begin(), tokens.lengths.end(), int64_t{0});
  std::vector<std::string> lengths;
  for (size_t bin = 0; bin < tokens.lengths.size(); ++bin) {
    if (tokens.lengths[bin] > 0) {
      lengths.push_back(
          absl::StrCat("up to ", int64_t{1} << bin, " ", percent(tokens.lengths[bin], texts)));
    }
  }
  std::string text = absl::StrFormat(
      "%s part: %d tokens, %.1f a text, %s of them unknown; the longest text has %d (%s); lengths: "
      "%s",
      part, tokens.tokens,
      static_cast<double>(tokens.tokens) / static_cast<double>(std::max<int64_t>(texts, 1)),
      percent(tokens.unknown, tokens.tokens), tokens.longest, tokens.longest_where,
      absl::StrJoin(lengths, ", "));
  if (tokens.cut > 0) {
    absl::StrAppend(&text, "; ", tokens.cut, " texts were cut to ", max_tokens, " tokens");
  }
  return text;
}

}  // namespace hone::engine::data
