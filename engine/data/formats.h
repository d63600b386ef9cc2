#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "engine/data/dataset.h"
#include "engine/data/load.h"
#include "engine/data/report.h"
#include "engine/data/table.h"

namespace hone::engine::data {

// What a format yields: pictures ready for Dataset::Make, or a table whose columns are not encoded
// yet.
struct Examples {
  DatasetParts parts;          // pictures; no feature_values when only headers were asked for
  std::optional<Table> table;  // tables
  int64_t train_size =
      0;  // rows [0, train_size) are the training part; the others, if any, the test part

  int64_t size() const { return table ? table->rows : parts.size; }
};

enum class Depth { kHeaders, kAll };  // kHeaders: sizes, labels and names, no pixels

struct Format {
  const char* name;
  // Whether a path looks like this format, by its names and first bytes.
  bool (*matches)(const std::string& path);
  // Reads it. Everything read is hostile: sizes are checked before memory is taken. Errors name
  // file and byte or line.
  absl::StatusOr<Examples> (*read)(const std::string& path, const LoadOptions& options, Depth depth,
                                   DataReport& report);
};

// In the order in which they are tried. Text formats (a sentence and its label in a line) belong
// before csv.
std::span<const Format> Formats();
// NOT_FOUND if there is no such path; INVALID_ARGUMENT lists what is understood.
absl::StatusOr<const Format*> DetectFormat(const std::string& path);

// features × examples × bytes each, or INVALID_ARGUMENT (`what` names the file) beyond max_bytes or
// the range of int64.
absl::StatusOr<int64_t> CheckedBytes(std::span<const int64_t> factors, int64_t max_bytes,
                                     const std::string& what);

}  // namespace hone::engine::data
