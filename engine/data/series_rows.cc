#include "engine/data/series_rows.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/complaints.h"
#include "engine/base/csv.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/series_times.h"

namespace hone::engine::data {
namespace {

constexpr size_t kCellShown = 40;  // bytes of a cell in an error
constexpr double kLargest = 1e30;

absl::StatusOr<size_t> FindColumn(const std::vector<std::string>& names, const std::string& name,
                                  absl::string_view field) {
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) {
    return absl::InvalidArgumentError(absl::StrCat("there is no column '", name, "' (data.series.",
                                                   field, "); the columns are ",
                                                   absl::StrJoin(names, ", ")));
  }
  return static_cast<size_t>(found - names.begin());
}

// Where the table has what.
struct Places {
  std::vector<size_t> values;  // the target first
  std::optional<size_t> time;
};

absl::StatusOr<Places> FindPlaces(const std::vector<std::string>& names,
                                  const SeriesColumns& columns) {
  Places places;
  if (columns.target.empty()) {
    places.values.push_back(names.size() - 1);
  } else {
    HONE_ASSIGN_OR_RETURN(places.values.emplace_back(),
                          FindColumn(names, columns.target, "target"));
  }
  for (const std::string& other : columns.others) {
    HONE_ASSIGN_OR_RETURN(places.values.emplace_back(), FindColumn(names, other, "columns"));
  }
  const bool absent =
      columns.time_may_be_absent && std::ranges::find(names, columns.time) == names.end();
  if (!columns.time.empty() && !absent) {
    HONE_ASSIGN_OR_RETURN(places.time, FindColumn(names, columns.time, "time"));
  }
  std::vector<size_t> used = places.values;
  if (places.time.has_value()) {
    used.push_back(*places.time);
  }
  std::ranges::sort(used);
  if (const auto twice = std::ranges::adjacent_find(used); twice != used.end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "column '", names[*twice],
        "' is taken twice: the target, the columns beside it and the time are columns of their "
        "own; data.series names them"));
  }
  return places;
}

class PointReader {
 public:
  PointReader(const std::vector<std::string>& names, const Places& places, bool must_be_positive,
              SeriesRows& rows)
      : names_(names), places_(places), must_be_positive_(must_be_positive), rows_(rows) {}

  void Add(const std::vector<std::string>& cells, int64_t line) {
    for (const size_t column : places_.values) {
      rows_.values.push_back(NumberAt(cells[column], column, line));
    }
    if (places_.time.has_value()) {
      CheckTime(cells[*places_.time], *places_.time, line);
      rows_.times.push_back(cells[*places_.time]);
    }
  }
  absl::Status status() const { return complaints_.status(); }

 private:
  void Complain(int64_t line, size_t column, absl::string_view what) {
    complaints_.Add(
        {.line = line,
         .text = absl::StrCat("line ", line, ", column '", names_[column], "': ", what)});
  }

  double NumberAt(const std::string& cell, size_t column, int64_t line) {
    if (IsMissing(cell)) {
      Complain(line, column, "the value is missing; a series must have one at each point");
      return 0;
    }
    const std::optional<double> number = ToNumber(cell);
    if (!number || std::abs(*number) > kLargest) {
      Complain(line, column, absl::StrCat("'", CutUtf8(cell, kCellShown), "' is not a number"));
      return 0;
    }
    if (must_be_positive_ && *number <= 0) {
      Complain(
          line, column,
          absl::StrCat("must be above 0 for its logarithm (data.series.scaling), got ", *number));
    }
    return *number;
  }

  // The first time says how times are written; where that is not understood, they are not compared.
  void CheckTime(const std::string& cell, size_t column, int64_t line) {
    const std::optional<SeriesTime> time = ParseSeriesTime(cell);
    const bool first = rows_.times.empty();
    if (first) {
      kind_ = time ? std::optional(time->kind) : std::nullopt;
    } else if (kind_.has_value()) {
      if (!time || time->kind != *kind_) {
        return Complain(line, column,
                        absl::StrCat("'", CutUtf8(cell, kCellShown), "' is no time as '",
                                     CutUtf8(rows_.times.front(), kCellShown), "' is"));
      }
      if (time->at <= last_) {
        Complain(line, column,
                 absl::StrCat("'", CutUtf8(cell, kCellShown), "' must come after '",
                              CutUtf8(rows_.times.back(), kCellShown),
                              "': rows stand in the order of time, each once"));
      }
    }
    last_ = time ? time->at : last_;
  }

  const std::vector<std::string>& names_;
  const Places& places_;
  const bool must_be_positive_;
  SeriesRows& rows_;
  std::optional<SeriesTime::Kind> kind_;
  double last_ = 0;
  Complaints complaints_;
};

}  // namespace

absl::StatusOr<SeriesRows> ReadSeriesRows(std::string text, const SeriesColumns& columns) {
  HONE_ASSIGN_OR_RETURN(const CsvTable table, OpenCsv(std::move(text)));
  HONE_ASSIGN_OR_RETURN(const Places places, FindPlaces(table.names, columns));
  SeriesRows rows;
  for (const size_t column : places.values) {
    rows.columns.push_back(table.names[column]);
  }
  PointReader reader(table.names, places, columns.must_be_positive, rows);
  HONE_RETURN_IF_ERROR(ForEachRecord(table, [&](const std::vector<std::string>& cells,
                                                int64_t line) { reader.Add(cells, line); }));
  HONE_RETURN_IF_ERROR(reader.status());
  return rows;
}

}  // namespace hone::engine::data
