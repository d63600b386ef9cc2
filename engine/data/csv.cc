#include "engine/data/csv.h"

#include <algorithm>
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
#include "engine/base/complaints.h"
#include "engine/base/csv.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/byte_source.h"

namespace hone::engine::data {
namespace {

constexpr int64_t kMostTextBytes = int64_t{2} << 30;
// A column is taken for numbers with slips, not for words, when at least this share of its cells
// are numbers.
constexpr double kNumbersShare = 0.9;

struct Source {
  std::string path;
  CsvTable table;
};

absl::StatusOr<Source> Open(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(std::string text, ReadText(path, kMostTextBytes));
  absl::StatusOr<CsvTable> table = OpenCsv(std::move(text));
  if (!table.ok()) {
    return Annotate(table.status(), path);
  }
  if (table->names.size() < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat(path,
                     ": has one column; a table needs at least two columns, separated by comma, "
                     "semicolon, tab or bar"));
  }
  return Source{.path = path, .table = *std::move(table)};
}

struct Counts {
  int64_t numbers = 0;
  int64_t words = 0;
};

// Numbers where all cells that are there are numbers; words else.
absl::StatusOr<std::vector<Column>> TypeColumns(const std::vector<Source>& sources, int64_t& rows) {
  std::vector<std::string> names = sources[0].table.names;
  std::vector<Counts> counts(names.size());
  for (const Source& source : sources) {
    const auto count = [&](const std::vector<std::string>& cells, int64_t) {
      ++rows;
      for (size_t c = 0; c < cells.size(); ++c) {
        if (!IsMissing(cells[c])) {
          ++(ToNumber(cells[c]) ? counts[c].numbers : counts[c].words);
        }
      }
    };
    HONE_RETURN_IF_ERROR(Annotate(ForEachRecord(source.table, count), source.path));
  }
  std::set<std::string> seen;
  std::vector<Column> columns;
  for (size_t c = 0; c < counts.size(); ++c) {
    if (!seen.insert(names[c]).second) {
      return Annotate(
          AsStatus(
              {.line = 1, .text = absl::StrCat("line 1: two columns are called '", names[c], "'")}),
          sources[0].path);
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
    Complaints complaints;
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
          complaints.Add({.line = line,
                          .text = absl::StrCat("line ", line, ", column '", column.name, "': '",
                                               CutUtf8(cells[c], 40),
                                               "' is not a number, as the others there are")});
        }
        column.numbers.push_back(value.value_or(0));
      }
    };
    HONE_RETURN_IF_ERROR(Annotate(ForEachRecord(sources[s].table, add), sources[s].path));
    HONE_RETURN_IF_ERROR(Annotate(complaints.status(), sources[s].path));
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
    const CsvTable& first = sources[0].table;
    const CsvTable& last = sources.back().table;
    if (last.has_header != first.has_header || last.names != first.names) {
      return absl::InvalidArgumentError(
          absl::StrCat(part, ": its columns are not those of ", sources[0].path));
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
