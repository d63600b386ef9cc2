#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace hone::engine::data {

// When a point of a series is, in one of the ways that are understood.
struct SeriesTime {
  enum class Kind {
    kNumber,  // "1968", "3.5"
    kMonth,   // "1949-01": months since year 0
    kDay,     // "1981-01-31": days since 1970-01-01, of the Gregorian calendar
  };
  Kind kind = Kind::kNumber;
  double at = 0;  // rises with time
};

// Nothing for what is written otherwise.
std::optional<SeriesTime> ParseSeriesTime(absl::string_view text);

// The times of the next `count` points, as the last two of `times` go on: by the same number, or of
// days that are the same day of different months by so many months (a day that a month does not
// have is its last one). None where these are fewer than two, or are not understood.
std::vector<std::string> NextTimes(const std::vector<std::string>& times, int64_t count);

}  // namespace hone::engine::data
