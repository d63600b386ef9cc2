#include "engine/base/csv.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/complaints.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"

namespace hone {
namespace {

constexpr size_t kMostColumns = 100'000;

bool HasQuotes(char delimiter, const CsvOptions& options) {
  return delimiter != '\t' || options.quotes_between_tabs;
}

// The candidate that yields the most cells, equally many in most lines.
char DetectDelimiter(absl::string_view text, const CsvOptions& options) {
  char best = ',';
  size_t most = 1;
  for (const char candidate : {',', ';', '\t', '|'}) {
    CsvReader reader(text, candidate, HasQuotes(candidate, options));
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

absl::StatusOr<bool> DetectHeader(const CsvTable& table) {
  CsvReader reader(table.text, table.delimiter, table.quotes);
  HONE_ASSIGN_OR_RETURN(bool more, reader.Next());
  const std::vector<std::string> first = reader.cells();
  for (const std::string& cell : first) {
    if (IsMissing(cell) || ToNumber(cell)) {
      return false;
    }
  }
  bool again = std::set<std::string>(first.begin(), first.end()).size() < first.size();
  for (int line = 0; more && line < 100; ++line) {
    HONE_ASSIGN_OR_RETURN(more, reader.Next());
    const std::vector<std::string>& cells = reader.cells();
    for (size_t c = 0; more && c < std::min(cells.size(), first.size()); ++c) {
      if (ToNumber(cells[c])) {
        return true;
      }
      again = again || cells[c] == first[c];
    }
  }
  return !again;
}

}  // namespace

absl::Status CsvReader::ReadQuoted(std::string& cell) {
  const int64_t opened = next_line_;
  rest_.remove_prefix(1);
  while (true) {
    const size_t quote = rest_.find('"');
    if (quote == absl::string_view::npos) {
      return AsStatus(
          {.line = opened,
           .text = absl::StrCat("line ", opened, ": the quote opened here is never closed")});
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
      if (quotes_ && absl::StartsWith(rest_, "\"")) {
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

absl::StatusOr<CsvTable> OpenCsv(std::string text, const CsvOptions& options) {
  CsvTable table;
  table.text = std::move(text);
  if (absl::StartsWith(table.text, "\xef\xbb\xbf")) {
    table.text.erase(0, 3);
  }
  if (const size_t zero = table.text.find('\0'); zero != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("is not text: byte ", zero, " is zero"));
  }
  HONE_RETURN_IF_ERROR(CheckUtf8(table.text));
  table.delimiter = DetectDelimiter(table.text, options);
  table.quotes = HasQuotes(table.delimiter, options);
  CsvReader reader(table.text, table.delimiter, table.quotes);
  HONE_ASSIGN_OR_RETURN(const bool any, reader.Next());
  if (!any) {
    return absl::InvalidArgumentError("the table is empty: the file has no lines");
  }
  if (reader.cells().size() > kMostColumns) {
    return AsStatus({.line = reader.line(),
                     .text = absl::StrCat("line ", reader.line(), " has ", reader.cells().size(),
                                          " cells; at most ", kMostColumns, " are read")});
  }
  HONE_ASSIGN_OR_RETURN(table.has_header, DetectHeader(table));
  table.names = reader.cells();
  for (size_t c = 0; !table.has_header && c < table.names.size(); ++c) {
    table.names[c] = absl::StrCat("column_", c + 1);
  }
  return table;
}

absl::Status ForEachRecord(
    const CsvTable& table,
    absl::FunctionRef<void(const std::vector<std::string>& cells, int64_t line)> visit) {
  CsvReader reader(table.text, table.delimiter, table.quotes);
  Complaints complaints;
  for (bool first = true;; first = false) {
    HONE_ASSIGN_OR_RETURN(const bool more, reader.Next());
    if (!more) {
      return complaints.status();
    }
    if (first && table.has_header) {
      continue;
    }
    if (reader.cells().size() != table.names.size()) {
      complaints.Add(
          {.line = reader.line(),
           .text = absl::StrCat("broken row: line ", reader.line(), " has ", reader.cells().size(),
                                " cells, the ", table.has_header ? "header" : "first line", " has ",
                                table.names.size())});
      continue;
    }
    visit(reader.cells(), reader.line());
  }
}

bool IsMissing(absl::string_view cell) {
  static constexpr absl::string_view kWords[] = {"", "?", "na", "n/a", "nan", "null"};
  if (cell.size() > 4) {
    return false;
  }
  const std::string lower = absl::AsciiStrToLower(cell);
  return std::find(std::begin(kWords), std::end(kWords), lower) != std::end(kWords);
}

std::optional<double> ToNumber(absl::string_view cell) {
  double value = 0;
  if (absl::SimpleAtod(cell, &value) && std::isfinite(value)) {
    return value;
  }
  return std::nullopt;
}

}  // namespace hone
