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

absl::Status RecordIsTooLong(int64_t line, int64_t bytes) {
  return AsStatus(
      {.line = line,
       .text = absl::StrCat("line ", line, ": the record that begins here has ", bytes,
                            " bytes or more, which are too many; is a quote opened in it that is "
                            "never closed?")});
}

// Whether a record, which has just been read, may go on behind the text.
bool MayGoOn(const CsvReader& reader, const absl::StatusOr<bool>& next) {
  return !next.ok() || reader.rest().empty();
}

// The begin of a table's text, or all of it. Of a begin, records that may go on behind it are not
// looked at.
struct Beginning {
  absl::string_view text;
  bool is_whole = true;
  bool has_more = false;  // records behind it would have been looked at, too

  // The next record, if there is one to be looked at.
  absl::StatusOr<bool> Next(CsvReader& reader) {
    const absl::StatusOr<bool> more = reader.Next();
    if (!is_whole && MayGoOn(reader, more)) {
      has_more = true;
      return false;
    }
    return more;
  }
};

// The candidate that yields the most cells, equally many in most lines.
char DetectDelimiter(const CsvOptions& options, Beginning& begin) {
  char best = ',';
  size_t most = 1;
  for (const char candidate : {',', ';', '\t', '|'}) {
    CsvReader reader(begin.text, candidate, HasQuotes(candidate, options));
    size_t first = 0;
    int agreeing = 0;
    int lines = 0;
    for (; lines < 20; ++lines) {
      const absl::StatusOr<bool> more = begin.Next(reader);
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

absl::StatusOr<bool> DetectHeader(const CsvHead& head, Beginning& begin) {
  CsvReader reader(begin.text, head.delimiter, head.quotes);
  HONE_ASSIGN_OR_RETURN(bool more, begin.Next(reader));
  const std::vector<std::string> first = reader.cells();
  for (const std::string& cell : first) {
    if (IsMissing(cell) || ToNumber(cell)) {
      return false;
    }
  }
  bool again = std::set<std::string>(first.begin(), first.end()).size() < first.size();
  for (int line = 0; more && line < 100; ++line) {
    HONE_ASSIGN_OR_RETURN(more, begin.Next(reader));
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

absl::StatusOr<CsvHead> ReadHead(const CsvOptions& options, Beginning& begin) {
  CsvHead head;
  head.delimiter = DetectDelimiter(options, begin);
  head.quotes = HasQuotes(head.delimiter, options);
  CsvReader reader(begin.text, head.delimiter, head.quotes);
  HONE_ASSIGN_OR_RETURN(const bool any, begin.Next(reader));
  if (!any) {
    return begin.is_whole ? absl::InvalidArgumentError("the table is empty: the file has no lines")
                          : RecordIsTooLong(1, static_cast<int64_t>(begin.text.size()));
  }
  if (reader.cells().size() > kMostColumns) {
    return AsStatus({.line = reader.line(),
                     .text = absl::StrCat("line ", reader.line(), " has ", reader.cells().size(),
                                          " cells; at most ", kMostColumns, " are read")});
  }
  HONE_ASSIGN_OR_RETURN(head.has_header, DetectHeader(head, begin));
  head.names = reader.cells();
  for (size_t c = 0; !head.has_header && c < head.names.size(); ++c) {
    head.names[c] = absl::StrCat("column_", c + 1);
  }
  return head;
}

absl::Status IsNoText(int64_t zero) {
  return absl::InvalidArgumentError(absl::StrCat("is not text: byte ", zero, " is zero"));
}

// True: the record is as wide as the table. Else it is complained of.
bool HasWidth(const CsvHead& head, const CsvReader& reader, Complaints& complaints) {
  if (reader.cells().size() == head.names.size()) {
    return true;
  }
  complaints.Add(
      {.line = reader.line(),
       .text = absl::StrCat("broken row: line ", reader.line(), " has ", reader.cells().size(),
                            " cells, the ", head.has_header ? "header" : "first line", " has ",
                            head.names.size())});
  return false;
}

// The text of a table as far as it has been read and is still needed.
class TextWindow {
 public:
  using Next = absl::FunctionRef<absl::StatusOr<bool>(std::string& text)>;
  explicit TextWindow(Next next) : next_(next) {}

  absl::string_view text() const { return text_; }
  int64_t size() const { return static_cast<int64_t>(text_.size()); }
  bool has_all() const { return !more_; }
  void Drop(size_t bytes) {
    text_.erase(0, bytes);
    offset_ += static_cast<int64_t>(bytes);
  }
  absl::Status DropByteOrderMark() {
    while (text_.size() < kByteOrderMark.size() && !has_all()) {
      HONE_RETURN_IF_ERROR(Grow());
    }
    if (absl::StartsWith(text_, kByteOrderMark)) {
      Drop(kByteOrderMark.size());
    }
    return absl::OkStatus();
  }
  // Until it is twice as long, or there is no more.
  absl::Status Grow() {
    for (const int64_t wanted = 2 * size() + 1; more_ && size() < wanted;) {
      const size_t before = text_.size();
      HONE_ASSIGN_OR_RETURN(more_, next_(text_));
      const size_t zero = text_.find('\0', before);
      if (zero != std::string::npos) {
        return IsNoText(offset_ + static_cast<int64_t>(zero));
      }
    }
    return absl::OkStatus();
  }

 private:
  Next next_;
  std::string text_;
  int64_t offset_ = 0;  // what was dropped
  bool more_ = true;
};

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
  if (const size_t zero = text.find('\0'); zero != std::string::npos) {
    return IsNoText(static_cast<int64_t>(zero));
  }
  CsvTable table;
  HONE_ASSIGN_OR_RETURN(table.text, FromUtf8(std::move(text)));
  Beginning whole = {.text = table.text};
  HONE_ASSIGN_OR_RETURN(static_cast<CsvHead&>(table), ReadHead(options, whole));
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
    if (HasWidth(table, reader, complaints)) {
      visit(reader.cells(), reader.line());
    }
  }
}

absl::Status StreamCsv(
    absl::FunctionRef<absl::StatusOr<bool>(std::string& text)> next, const CsvOptions& options,
    int64_t most_record_bytes, absl::FunctionRef<absl::Status(const CsvHead& head)> head,
    absl::FunctionRef<absl::Status(const std::vector<std::string>& cells, int64_t line)> visit) {
  TextWindow window(next);
  HONE_RETURN_IF_ERROR(window.DropByteOrderMark());
  CsvHead found;
  for (bool known = false; !known;) {
    Beginning begin = {.text = window.text(), .is_whole = window.has_all()};
    absl::StatusOr<CsvHead> read = ReadHead(options, begin);
    known = !begin.has_more || window.size() > most_record_bytes;
    if (known) {
      HONE_RETURN_IF_ERROR(read.status());
      found = *std::move(read);
    } else {
      HONE_RETURN_IF_ERROR(window.Grow());
    }
  }
  HONE_RETURN_IF_ERROR(head(found));
  Complaints complaints;
  bool is_header = found.has_header;
  for (int64_t line = 1;;) {
    CsvReader reader(window.text(), found.delimiter, found.quotes, line);
    size_t done = 0;  // bytes of the window
    while (true) {
      const absl::StatusOr<bool> any = reader.Next();
      if (!window.has_all() && MayGoOn(reader, any)) {
        break;
      }
      HONE_RETURN_IF_ERROR(any.status());
      if (!*any) {
        return complaints.status();
      }
      done = window.text().size() - reader.rest().size();
      line = reader.next_line();
      if (!std::exchange(is_header, false) && HasWidth(found, reader, complaints)) {
        HONE_RETURN_IF_ERROR(visit(reader.cells(), reader.line()));
      }
    }
    window.Drop(done);
    if (window.size() > most_record_bytes) {
      return RecordIsTooLong(line, window.size());
    }
    HONE_RETURN_IF_ERROR(window.Grow());
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
