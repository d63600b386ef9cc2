#include "engine/data/csv.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/byte_source.h"
#include "engine/data/csv_reader.h"

namespace hone::engine::data {
namespace {

constexpr int64_t kMostTextBytes = int64_t{2} << 30;
constexpr size_t kMostColumns = 100000;
constexpr size_t kErrorsShown = 20;
// A column is taken for numbers with slips, not for words, when at least this share of its cells
// are numbers.
constexpr double kNumbersShare = 0.9;

// Errors of many lines, told in one.
class Complaints {
 public:
  explicit Complaints(std::string path) : path_(std::move(path)) {}
  void Add(std::string text) {
    if (texts_.size() < kErrorsShown) {
      texts_.push_back(std::move(text));
    }
    ++count_;
  }
  absl::Status status() const {
    if (count_ == 0) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat(
        path_, ": ", count_, count_ == 1 ? " error: " : " errors: ", absl::StrJoin(texts_, "; "),
        count_ > static_cast<int64_t>(kErrorsShown) ? "; …" : ""));
  }

 private:
  std::string path_;
  std::vector<std::string> texts_;
  int64_t count_ = 0;
};

std::optional<double> ToNumber(const std::string& cell) {
  double value = 0;
  if (absl::SimpleAtod(cell, &value) && std::isfinite(value)) {
    return value;
  }
  return std::nullopt;
}

// One file's text and how to read it.
struct Source {
  std::string path;
  std::string text;
  char delimiter = ',';
  bool header = false;
  size_t width = 0;
};

// A first line of names: no cell of it is a number or missing, and below some column is one of
// numbers, or else no cell of it comes again.
absl::StatusOr<bool> DetectHeader(const Source& source) {
  CsvReader reader(source.text, source.delimiter);
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

absl::StatusOr<Source> Open(const std::string& path) {
  Source source;
  source.path = path;
  HONE_ASSIGN_OR_RETURN(source.text, ReadText(path, kMostTextBytes));
  if (absl::StartsWith(source.text, "\xef\xbb\xbf")) {
    source.text.erase(0, 3);
  }
  if (const size_t zero = source.text.find('\0'); zero != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is no text: byte ", zero, " is zero"));
  }
  HONE_RETURN_IF_ERROR(CheckUtf8(source.text, path));
  source.delimiter = DetectDelimiter(source.text);
  CsvReader reader(source.text, source.delimiter);
  const absl::StatusOr<bool> any = reader.Next();
  if (!any.ok()) {
    return Annotate(any.status(), path);
  }
  if (!*any) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": the data set is empty: the file has no lines"));
  }
  source.width = reader.cells().size();
  if (source.width < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": line ", reader.line(),
                     " has one cell; a table needs at least two columns, separated by comma, "
                     "semicolon, tab or bar"));
  }
  if (source.width > kMostColumns) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": line ", reader.line(), " has ",
                                                   source.width, " cells; at most ", kMostColumns,
                                                   " are read"));
  }
  const absl::StatusOr<bool> header = DetectHeader(source);
  if (!header.ok()) {
    return Annotate(header.status(), path);
  }
  source.header = *header;
  return source;
}

std::vector<std::string> ColumnNames(const Source& source) {
  if (source.header) {
    CsvReader reader(source.text, source.delimiter);
    if (reader.Next().ok()) {
      return reader.cells();
    }
  }
  std::vector<std::string> names;
  for (size_t c = 1; c <= source.width; ++c) {
    names.push_back(absl::StrCat("column_", c));
  }
  return names;
}

// Calls visit(cells, line) for every record below the header, after checking their widths (all
// wrong ones in one error).
template <typename Visit>
absl::Status ForEachRecord(const Source& source, Visit&& visit) {
  CsvReader reader(source.text, source.delimiter);
  Complaints complaints(source.path);
  for (bool first = true;; first = false) {
    const absl::StatusOr<bool> more = reader.Next();
    if (!more.ok()) {
      return Annotate(more.status(), source.path);
    }
    if (!*more) {
      return complaints.status();
    }
    if (first && source.header) {
      continue;
    }
    if (reader.cells().size() != source.width) {
      complaints.Add(absl::StrCat("broken row: line ", reader.line(), " has ",
                                  reader.cells().size(), " cells, the ",
                                  source.header ? "header" : "first line", " has ", source.width));
      continue;
    }
    visit(reader.cells(), reader.line());
  }
}

struct Counts {
  int64_t numbers = 0;
  int64_t words = 0;
};

// Numbers where all cells that are there are numbers; words else.
absl::StatusOr<std::vector<Column>> TypeColumns(const std::vector<Source>& sources, int64_t& rows) {
  std::vector<Counts> counts(sources[0].width);
  for (const Source& source : sources) {
    HONE_RETURN_IF_ERROR(ForEachRecord(source, [&](const std::vector<std::string>& cells, int64_t) {
      ++rows;
      for (size_t c = 0; c < cells.size(); ++c) {
        if (!IsMissing(cells[c])) {
          ++(ToNumber(cells[c]) ? counts[c].numbers : counts[c].words);
        }
      }
    }));
  }
  std::vector<std::string> names = ColumnNames(sources[0]);
  std::set<std::string> seen;
  std::vector<Column> columns;
  for (size_t c = 0; c < counts.size(); ++c) {
    if (!seen.insert(names[c]).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(sources[0].path, ": line 1: two columns are called '", names[c], "'"));
    }
    Column column;
    column.name = std::move(names[c]);
    const auto present = static_cast<double>(counts[c].numbers + counts[c].words);
    column.is_category =
        present == 0 || static_cast<double>(counts[c].numbers) < kNumbersShare * present;
    columns.push_back(std::move(column));
  }
  return columns;
}

void SortCategories(std::map<std::string, int32_t>& code_of, Column& column) {
  std::vector<int32_t> sorted(code_of.size());
  for (auto& [word, code] : code_of) {
    sorted[static_cast<size_t>(code)] = static_cast<int32_t>(column.categories.size());
    column.categories.push_back(word);
  }
  for (int32_t& code : column.codes) {
    code = code < 0 ? -1 : sorted[static_cast<size_t>(code)];
  }
}

absl::Status Fill(const std::vector<Source>& sources, Table& table, int64_t& train_size) {
  std::vector<std::map<std::string, int32_t>> codes(table.columns.size());
  for (size_t s = 0; s < sources.size(); ++s) {
    Complaints complaints(sources[s].path);
    const auto add = [&](const std::vector<std::string>& cells, int64_t line) {
      ++table.rows;
      table.lines.push_back(line);
      for (size_t c = 0; c < cells.size(); ++c) {
        Column& column = table.columns[c];
        const bool missing = IsMissing(cells[c]);
        if (column.is_category) {
          column.codes.push_back(missing
                                     ? -1
                                     : codes[c]
                                           .emplace(cells[c], static_cast<int32_t>(codes[c].size()))
                                           .first->second);
          continue;
        }
        const std::optional<double> value =
            missing ? std::numeric_limits<double>::quiet_NaN() : ToNumber(cells[c]);
        if (!value) {
          complaints.Add(absl::StrCat("line ", line, ", column '", column.name, "': '",
                                      CutUtf8(cells[c], 40),
                                      "' is not a number, as the others there are"));
        }
        column.numbers.push_back(value.value_or(0));
      }
    };
    HONE_RETURN_IF_ERROR(ForEachRecord(sources[s], add));
    HONE_RETURN_IF_ERROR(complaints.status());
    if (s == 0) {
      train_size = table.rows;
    }
  }
  for (size_t c = 0; c < table.columns.size(); ++c) {
    SortCategories(codes[c], table.columns[c]);
  }
  return absl::OkStatus();
}

absl::string_view WithoutGz(absl::string_view path) {
  return absl::EndsWith(path, ".gz") ? path.substr(0, path.size() - 3) : path;
}

bool HasTableName(const std::string& path) {
  const std::string name = absl::AsciiStrToLower(WithoutGz(path));
  return absl::EndsWith(name, ".csv") || absl::EndsWith(name, ".tsv") ||
         absl::EndsWith(name, ".data");
}

// A folder's training and test table, or nothing.
std::vector<std::string> PartsOfFolder(const std::string& folder) {
  std::vector<std::string> train;
  std::vector<std::string> test;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string path = entry.path().string();
    const std::string name(WithoutGz(entry.path().filename().string()));
    if (name == "train.csv" || absl::EndsWith(name, ".tra")) {
      train.push_back(path);
    } else if (name == "test.csv" || absl::EndsWith(name, ".tes")) {
      test.push_back(path);
    }
  }
  if (train.size() != 1 || test.size() > 1) {
    return {};
  }
  train.insert(train.end(), test.begin(), test.end());
  return train;
}

}  // namespace

bool IsCsv(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error) ? !PartsOfFolder(path).empty()
                                                    : HasTableName(path);
}

absl::StatusOr<Examples> ReadCsv(const std::string& path, const LoadOptions&, Depth,
                                 DataReport& report) {
  std::error_code error;
  std::vector<std::string> paths = {path};
  if (std::filesystem::is_directory(path, error)) {
    paths = PartsOfFolder(path);
  }
  std::vector<Source> sources;
  for (const std::string& part : paths) {
    HONE_ASSIGN_OR_RETURN(Source source, Open(part));
    sources.push_back(std::move(source));
    const Source& first = sources[0];
    const Source& last = sources.back();
    if (last.width != first.width || last.header != first.header ||
        ColumnNames(last) != ColumnNames(first)) {
      return absl::InvalidArgumentError(
          absl::StrCat(part, ": its columns are not those of ", first.path));
    }
  }
  Examples examples;
  examples.table.emplace();
  examples.table->path = path;
  int64_t rows = 0;
  HONE_ASSIGN_OR_RETURN(examples.table->columns, TypeColumns(sources, rows));
  if (rows == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": the data set is empty: there is a header and no row"));
  }
  HONE_RETURN_IF_ERROR(Fill(sources, *examples.table, examples.train_size));
  report.examples_read = rows;
  return examples;
}

}  // namespace hone::engine::data
