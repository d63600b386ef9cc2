#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/load.h"

namespace hone::engine::data {

// An id that is a whole number without a sign; nothing for other ids.
std::optional<uint64_t> IdNumber(absl::string_view id);

// Ratings as they were read: row r says what user users[r] gave to item items[r].
struct RatingRows {
  std::string path;  // for errors
  std::string user_column = "user";
  std::string item_column = "item";
  std::vector<std::string> users;  // ids, each once, in the order in which they come
  std::vector<std::string> items;
  std::vector<std::string> item_names;  // of the items; "" where it is not known
  std::vector<int32_t> user_of;         // [size] into users
  std::vector<int32_t> item_of;         // [size] into items
  std::vector<float> values;            // [size]
  std::vector<double> times;            // [size], larger is later; or empty
  std::vector<float> noise;             // [size] of generated ratings: the part that is chance
  std::vector<int64_t> lines;           // [size], where each stands in its file; or empty

  int64_t size() const { return static_cast<int64_t>(values.size()); }
};

// Reads them: of a table (csv.h), or of a MovieLens archive as GroupLens publishes it. `report` is
// told what was left out. INVALID_ARGUMENT with the lines that are wrong; errors of the file.
absl::StatusOr<RatingRows> ReadRatings(const std::string& path, const RatingOptions& options,
                                       DataReport& report);

// INVALID_ARGUMENT with the lines of negative ids where all ids of their column are whole numbers:
// such a one stands for an id that is not known, or is a mistake of what has written the table.
absl::Status CheckSigns(const RatingRows& rows);

// Leaves out what is rated lower, and tells the report.
void DropBelow(double least, RatingRows& rows, DataReport& report);

}  // namespace hone::engine::data
