#include "engine/data/csv.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/complaints.h"
#include "engine/base/csv.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/byte_source.h"
#include "engine/data/table_cells.h"
#include "engine/data/text_stream.h"

namespace hone::engine::data {
namespace {

// A column is taken for numbers with slips, not for words, when at least this share of its cells
// are numbers.
constexpr double kNumbersShare = 0.9;

// Reads a file as a table, piece by piece.
absl::Status Read(
    const std::string& path, const StreamOptions& options,
    absl::FunctionRef<absl::Status(const CsvHead& head)> head,
    absl::FunctionRef<absl::Status(const std::vector<std::string>& cells, int64_t)> record) {
  HONE_ASSIGN_OR_RETURN(ByteSource file, ByteSource::Open(path));
  const auto bytes = [&](char* out, int64_t size) { return file.Read(out, size); };
  TextStream stream(bytes, std::nullopt, options.piece_bytes);
  const auto next = [&](std::string& text) { return stream.Append(text); };
  return stream.Annotated(StreamCsv(next, {}, kMostRecordBytes, head, record), path);
}

struct Counts {
  int64_t numbers = 0;
  int64_t words = 0;
};

// What the first of two passes over the files finds: their columns, and how many of the cells that
// are there are numbers.
struct FoundTable {
  CsvHead head;  // of all files
  std::vector<Counts> counts;
  int64_t rows = 0;
};

absl::Status CheckHead(const CsvHead& head, const std::string& first, FoundTable& found) {
  if (head.names.size() < 2) {
    return absl::InvalidArgumentError(
        "has one column; a table needs at least two columns, separated by comma, semicolon, tab or "
        "bar");
  }
  if (found.counts.empty()) {
    found.head = head;
    found.counts.resize(head.names.size());
  }
  if (head.has_header != found.head.has_header || head.names != found.head.names) {
    return absl::InvalidArgumentError(absl::StrCat("its columns are not those of ", first));
  }
  return absl::OkStatus();
}

absl::StatusOr<FoundTable> Count(const std::vector<std::string>& paths,
                                 const StreamOptions& options) {
  FoundTable found;
  for (const std::string& path : paths) {
    const auto check = [&](const CsvHead& head) { return CheckHead(head, paths[0], found); };
    const auto count = [&](const std::vector<std::string>& cells, int64_t) {
      ++found.rows;
      for (size_t c = 0; c < cells.size(); ++c) {
        if (!IsMissing(cells[c])) {
          ++(ToNumber(cells[c]) ? found.counts[c].numbers : found.counts[c].words);
        }
      }
      return absl::OkStatus();
    };
    HONE_RETURN_IF_ERROR(Read(path, options, check, count));
  }
  return found;
}

// Numbers where almost all cells that are there are numbers; words else.
absl::StatusOr<std::vector<Column>> TypeColumns(const FoundTable& found, const std::string& first) {
  std::set<std::string> seen;
  std::vector<Column> columns;
  for (size_t c = 0; c < found.counts.size(); ++c) {
    const auto& [numbers, words] = found.counts[c];
    const std::string& name = found.head.names[c];
    if (!seen.insert(name).second) {
      return Annotate(
          AsStatus(
              {.line = 1, .text = absl::StrCat("line 1: two columns are called '", name, "'")}),
          first);
    }
    Column column;
    column.name = name;
    const auto present = static_cast<double>(numbers + words);
    column.is_category = present == 0 || static_cast<double>(numbers) < kNumbersShare * present;
    columns.push_back(std::move(column));
  }
  return columns;
}

// Puts the cells of the second pass into a table whose columns are known.
class Filler {
 public:
  Filler(Table& table, const StreamOptions& options)
      : table_(table),
        options_(options),
        cells_(std::make_shared<TableCells>(table.columns.size(), options)),
        found_(table.columns.size()),
        row_(table.columns.size()) {}

  absl::Status Fill(const std::string& path, FoundTable& found, const std::string& first) {
    complaints_ = {};
    const auto check = [&](const CsvHead& head) { return CheckHead(head, first, found); };
    const auto add = [&](const std::vector<std::string>& cells, int64_t line) {
      return Add(cells, line);
    };
    HONE_RETURN_IF_ERROR(Read(path, options_, check, add));
    return Annotate(complaints_.status(), path);
  }

  absl::Status Finish() {
    for (size_t c = 0; c < found_.size(); ++c) {
      Column& column = table_.columns[c];
      column.code_of.resize(found_[c].size());
      for (const auto& [word, number] : found_[c]) {
        column.code_of[static_cast<size_t>(number)] =
            static_cast<int32_t>(column.categories.size());
        column.categories.push_back(word);
      }
    }
    table_.cells = cells_;
    return cells_->Finish();
  }

 private:
  absl::Status Add(const std::vector<std::string>& cells, int64_t line) {
    ++table_.rows;
    table_.lines.push_back(line);
    for (size_t c = 0; c < cells.size(); ++c) {
      const Column& column = table_.columns[c];
      const bool missing = IsMissing(cells[c]);
      if (column.is_category) {
        std::map<std::string, int32_t>& words = found_[c];
        row_[c] = missing
                      ? -1
                      : words.emplace(cells[c], static_cast<int32_t>(words.size())).first->second;
        continue;
      }
      const std::optional<double> value =
          missing ? std::numeric_limits<double>::quiet_NaN() : ToNumber(cells[c]);
      if (!value) {
        complaints_.Add({.line = line,
                         .text = absl::StrCat("line ", line, ", column '", column.name, "': '",
                                              CutUtf8(cells[c], 40),
                                              "' is not a number, as the others there are")});
      }
      row_[c] = value.value_or(0);
    }
    return cells_->Add(row_);
  }

  Table& table_;
  const StreamOptions& options_;
  const std::shared_ptr<TableCells> cells_;
  std::vector<std::map<std::string, int32_t>>
      found_;  // words of each column, numbered as they come
  std::vector<double> row_;
  Complaints complaints_;
};

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

absl::StatusOr<Examples> ReadCsv(const std::string& path, const LoadOptions& options, Depth,
                                 DataReport& report) {
  std::error_code error;
  std::vector<std::string> paths = {path};
  if (std::filesystem::is_directory(path, error)) {
    paths = PartsOfFolder(path);
  }
  HONE_ASSIGN_OR_RETURN(FoundTable found, Count(paths, options.stream));
  Examples examples;
  Table& table = examples.table.emplace();
  table.path = path;
  HONE_ASSIGN_OR_RETURN(table.columns, TypeColumns(found, paths[0]));
  if (found.rows == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": the data set is empty: there is a header and no row"));
  }
  Filler filler(table, options.stream);
  for (const std::string& part : paths) {
    HONE_RETURN_IF_ERROR(filler.Fill(part, found, paths[0]));
    examples.train_size = part == paths[0] ? table.rows : examples.train_size;
  }
  HONE_RETURN_IF_ERROR(filler.Finish());
  if (table.rows != found.rows) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": changed while it was read"));
  }
  report.examples_read = table.rows;
  return examples;
}

}  // namespace hone::engine::data
