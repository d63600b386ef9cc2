// Tables of text: comma, semicolon, tab or bar between cells; quotes as in RFC 4180, or none; LF or
// CRLF.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone {

// Goes through the records of a text. `text` must outlive it.
class CsvReader {
 public:
  // Without `quotes` a quotation mark is a character like any other. `line` is where the text
  // begins in a longer one.
  CsvReader(absl::string_view text, char delimiter, bool quotes = true, int64_t line = 1)
      : rest_(text), delimiter_(delimiter), quotes_(quotes), next_line_(line) {}

  // The next record that is not blank, its cells unquoted and, outside quotes, stripped of spaces.
  // False at the end. INVALID_ARGUMENT for a quote that is never closed.
  absl::StatusOr<bool> Next();
  const std::vector<std::string>& cells() const { return cells_; }
  int64_t line() const { return line_; }  // where the record begins, from 1
  // What stands behind the record, and the line that it begins on. Where it is empty, or Next has
  // failed, more text might have made another record.
  absl::string_view rest() const { return rest_; }
  int64_t next_line() const { return next_line_; }

 private:
  absl::Status ReadQuoted(std::string& cell);

  absl::string_view rest_;
  char delimiter_;
  bool quotes_;
  std::vector<std::string> cells_;
  int64_t line_ = 0;
  int64_t next_line_;
};

// How to read a table.
struct CsvHead {
  char delimiter = ',';
  bool quotes = true;
  bool has_header = false;
  std::vector<std::string> names;  // of the header; else column_1, column_2, …
};

// The same and its text.
struct CsvTable : CsvHead {
  std::string text;  // without a byte order mark
};

// What is known of a table beforehand.
struct CsvOptions {
  // False: what tabs separate has no quotes, as is the custom for texts.
  bool quotes_between_tabs = true;
};

// Finds the delimiter (comma, semicolon, tab or bar: the one that yields the most cells, equally
// many in most of the first lines) and whether the first line is a header: no cell of it is a
// number or missing, and below some column is one of numbers, or else no cell of it comes again.
// INVALID_ARGUMENT: no lines, a zero byte, bytes that are not UTF-8, a quote that is never closed,
// over 100,000 columns.
absl::StatusOr<CsvTable> OpenCsv(std::string text, const CsvOptions& options = {});

// Calls visit(cells, line) for every record below the header. INVALID_ARGUMENT names the first 20
// records of another width than the header's, or a quote that is never closed.
absl::Status ForEachRecord(
    const CsvTable& table,
    absl::FunctionRef<void(const std::vector<std::string>& cells, int64_t line)> visit);

// Both in one, of a text that need not be in memory at once: `next` appends some more of it, UTF-8
// that ends with a whole character, and is false where there is no more. Calls head(…) once, then
// visit(…) for every record below the header; what these return ends it, unless it is OK. Head and
// records are those of the whole text. Errors of both, in the order of their places, and of `next`;
// INVALID_ARGUMENT also names a record of more than `most_record_bytes`, which is where a quote
// that is never closed is given up; where the first hundred records are more than that, fewer tell
// what the head is.
absl::Status StreamCsv(
    absl::FunctionRef<absl::StatusOr<bool>(std::string& text)> next, const CsvOptions& options,
    int64_t most_record_bytes, absl::FunctionRef<absl::Status(const CsvHead& head)> head,
    absl::FunctionRef<absl::Status(const std::vector<std::string>& cells, int64_t line)> visit);

// A cell without a value: nothing, "?", "NA", "N/A", "NaN", "null".
bool IsMissing(absl::string_view cell);

// A finite number.
std::optional<double> ToNumber(absl::string_view cell);

}  // namespace hone
