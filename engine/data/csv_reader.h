#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::engine::data {

// Goes through the records of a text. `text` must outlive it.
class CsvReader {
 public:
  CsvReader(absl::string_view text, char delimiter) : rest_(text), delimiter_(delimiter) {}

  // The next record that is not blank, its cells unquoted and, outside quotes, stripped of spaces.
  // False at the end. INVALID_ARGUMENT for a quote that is never closed.
  absl::StatusOr<bool> Next();
  const std::vector<std::string>& cells() const { return cells_; }
  int64_t line() const { return line_; }  // where the record begins, from 1

 private:
  absl::Status ReadQuoted(std::string& cell);

  absl::string_view rest_;
  char delimiter_;
  std::vector<std::string> cells_;
  int64_t line_ = 0;
  int64_t next_line_ = 1;
};

// Of the first lines of a text: the candidate that yields the most cells, equally many in every
// line.
char DetectDelimiter(absl::string_view text);

}  // namespace hone::engine::data
