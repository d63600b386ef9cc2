#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace hone::engine::data {

// Which columns of a table are a series.
struct SeriesColumns {
  std::string target = {};               // "": the last column
  std::vector<std::string> others = {};  // beside the target
  std::string time = {};                 // "": none
  bool time_may_be_absent = false;       // a table without that column has no times
  bool must_be_positive = false;         // values, for their logarithms
};

// Points in the order of time.
struct SeriesRows {
  std::vector<std::string> columns;  // the target first
  std::vector<double> values;        // [size, columns], row major
  std::vector<std::string> times;    // [size] as they are written, or empty

  int64_t size() const {
    return columns.empty() ? 0 : static_cast<int64_t>(values.size() / columns.size());
  }
};

// Of a table's text (base/csv.h). INVALID_ARGUMENT names a column that there is not, or that is
// named twice, and the first 20 lines with a value that is missing, no number or too large (above
// 1e30), a time that does not come after the one before, or is written in another way.
absl::StatusOr<SeriesRows> ReadSeriesRows(std::string text, const SeriesColumns& columns);

}  // namespace hone::engine::data
