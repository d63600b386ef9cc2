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
  // Without `quotes` a quotation mark is a character like any other.
  CsvReader(absl::string_view text, char delimiter, bool quotes = true)
      : rest_(text), delimiter_(delimiter), quotes_(quotes) {}

  // The next record that is not blank, its cells unquoted and, outside quotes, stripped of spaces.
  // False at the end. INVALID_ARGUMENT for a quote that is never closed.
  absl::StatusOr<bool> Next();
  const std::vector<std::string>& cells() const { return cells_; }
  int64_t line() const { return line_; }  // where the record begins, from 1

 private:
  absl::Status ReadQuoted(std::string& cell);

  absl::string_view rest_;
  char delimiter_;
  bool quotes_;
  std::vector<std::string> cells_;
  int64_t line_ = 0;
  int64_t next_line_ = 1;
};

// A table's text and how to read it.
struct CsvTable {
  std::string text;  // without a byte order mark
  char delimiter = ',';
  bool quotes = true;
  bool has_header = false;
  std::vector<std::string> names;  // of the header; else column_1, column_2, …
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

// A cell without a value: nothing, "?", "NA", "N/A", "NaN", "null".
bool IsMissing(absl::string_view cell);

// A finite number.
std::optional<double> ToNumber(absl::string_view cell);

}  // namespace hone
