#include "client/cli/csv.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

struct Row {
  int line = 1;
  std::vector<std::string> cells;
};

// Takes the text apart; empty lines are left out.
class Reader {
 public:
  Reader(absl::string_view text, absl::string_view origin) : text_(text), origin_(origin) {}

  absl::StatusOr<std::vector<Row>> Rows() {
    std::vector<Row> rows;
    while (at_ < text_.size()) {
      Row row{.line = line_, .cells = {}};
      do {
        HONE_ASSIGN_OR_RETURN(std::string cell, Cell());
        row.cells.push_back(std::move(cell));
      } while (Skip(','));
      Skip('\r');
      if (!Skip('\n') && at_ < text_.size()) {
        return absl::InvalidArgumentError(
            absl::StrCat(origin_, ":", line_, ": text after a closing quote"));
      }
      ++line_;
      if (row.cells.size() > 1 || !row.cells[0].empty()) {
        rows.push_back(std::move(row));
      }
    }
    return rows;
  }

 private:
  bool Skip(char c) {
    if (at_ < text_.size() && text_[at_] == c) {
      ++at_;
      return true;
    }
    return false;
  }

  absl::StatusOr<std::string> Cell() {
    if (!Skip('"')) {
      const size_t begin = at_;
      while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n') {
        ++at_;
      }
      return std::string(absl::StripAsciiWhitespace(text_.substr(begin, at_ - begin)));
    }
    std::string cell;
    const int begin_line = line_;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"' && !Skip('"')) {
        return cell;
      }
      line_ += c == '\n' ? 1 : 0;
      cell.push_back(c);
    }
    return absl::InvalidArgumentError(
        absl::StrCat(origin_, ":", begin_line, ": a quote without its end"));
  }

  const absl::string_view text_;
  const absl::string_view origin_;
  size_t at_ = 0;
  int line_ = 1;
};

// A name is no number, so a line with a number in it is a row.
bool IsHead(const Row& row) {
  double number = 0;
  return std::none_of(row.cells.begin(), row.cells.end(),
                      [&](const std::string& cell) { return absl::SimpleAtod(cell, &number); });
}

std::vector<std::string> NumberedNames(size_t columns) {
  std::vector<std::string> names;
  for (size_t i = 1; i <= columns; ++i) {
    names.push_back(absl::StrCat("column_", i));
  }
  return names;
}

}  // namespace

absl::StatusOr<std::vector<std::map<std::string, std::string>>> ParseCsv(absl::string_view text,
                                                                         absl::string_view origin) {
  HONE_ASSIGN_OR_RETURN(const std::vector<Row> rows, Reader(text, origin).Rows());
  const bool head = !rows.empty() && IsHead(rows[0]);
  if (rows.size() < (head ? 2 : 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        origin, ": has no rows; the first line names the columns, each line after it is a row"));
  }
  const std::vector<std::string> names = head ? rows[0].cells : NumberedNames(rows[0].cells.size());
  if (std::set<std::string>(names.begin(), names.end()).size() != names.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(origin, ":", rows[0].line, ": a column's name stands twice"));
  }
  std::vector<std::map<std::string, std::string>> records;
  for (size_t r = head ? 1 : 0; r < rows.size(); ++r) {
    if (rows[r].cells.size() != names.size()) {
      return absl::InvalidArgumentError(absl::StrCat(origin, ":", rows[r].line, ": has ",
                                                     rows[r].cells.size(),
                                                     " cells, the first line has ", names.size()));
    }
    std::map<std::string, std::string> record;
    for (size_t i = 0; i < names.size(); ++i) {
      record[names[i]] = rows[r].cells[i];
    }
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace hone::client::cli
