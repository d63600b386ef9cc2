#include "engine/data/csv_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::engine::data {

absl::Status CsvReader::ReadQuoted(std::string& cell) {
  const int64_t opened = next_line_;
  rest_.remove_prefix(1);
  while (true) {
    const size_t quote = rest_.find('"');
    if (quote == absl::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", opened, ": the quote opened here is never closed"));
    }
    const absl::string_view part = rest_.substr(0, quote);
    next_line_ += std::count(part.begin(), part.end(), '\n');
    cell.append(part.data(), part.size());
    rest_.remove_prefix(quote + 1);
    if (!absl::StartsWith(rest_, "\"")) {
      return absl::OkStatus();
    }
    cell.push_back('"');
    rest_.remove_prefix(1);
  }
}

absl::StatusOr<bool> CsvReader::Next() {
  cells_.clear();
  while (!rest_.empty()) {
    line_ = next_line_;
    bool blank = true;
    while (true) {
      std::string cell;
      bool quoted = false;
      while (!rest_.empty() && rest_[0] == ' ' && delimiter_ != ' ') {
        rest_.remove_prefix(1);
      }
      if (absl::StartsWith(rest_, "\"")) {
        quoted = true;
        HONE_RETURN_IF_ERROR(ReadQuoted(cell));
      }
      const char ends[] = {delimiter_, '\n', '\0'};
      const size_t end = std::min(rest_.find_first_of(ends), rest_.size());
      const absl::string_view plain = absl::StripAsciiWhitespace(rest_.substr(0, end));
      cell.append(plain.data(), plain.size());
      blank = blank && !quoted && cell.empty();
      rest_.remove_prefix(end);
      cells_.push_back(std::move(cell));
      if (rest_.empty() || rest_[0] == '\n') {
        break;
      }
      blank = false;
      rest_.remove_prefix(1);
    }
    if (!rest_.empty()) {
      rest_.remove_prefix(1);
      ++next_line_;
    }
    if (!blank) {
      return true;
    }
    cells_.clear();
  }
  return false;
}

char DetectDelimiter(absl::string_view text) {
  char best = ',';
  size_t most = 1;
  for (const char candidate : {',', ';', '\t', '|'}) {
    CsvReader reader(text, candidate);
    size_t first = 0;
    int agreeing = 0;
    int lines = 0;
    for (; lines < 20; ++lines) {
      const absl::StatusOr<bool> more = reader.Next();
      if (!more.ok() || !*more) {
        break;
      }
      first = lines == 0 ? reader.cells().size() : first;
      agreeing += reader.cells().size() == first;
    }
    if (lines > 0 && 2 * agreeing > lines && first > most) {
      most = first;
      best = candidate;
    }
  }
  return best;
}

}  // namespace hone::engine::data
