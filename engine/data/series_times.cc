#include "engine/data/series_times.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/csv.h"

namespace hone::engine::data {
namespace {

using std::chrono::day;
using std::chrono::month;
using std::chrono::year;
using std::chrono::year_month_day;

constexpr size_t kMonthLength = 7, kDayLength = 10;  // "1949-01", "1949-01-31"
constexpr int64_t kMonthsInYear = 12;

// `count` digits from `begin`; −1 where others stand there.
int Digits(absl::string_view text, size_t begin, size_t count) {
  int value = 0;
  for (size_t i = begin; i < begin + count; ++i) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(text[i]))) {
      return -1;
    }
    value = 10 * value + (text[i] - '0');
  }
  return value;
}

// Of a month, its first day. Nothing where it is no date.
std::optional<year_month_day> ParseDate(absl::string_view text) {
  if ((text.size() != kMonthLength && text.size() != kDayLength) || text[4] != '-' ||
      (text.size() == kDayLength && text[kMonthLength] != '-')) {
    return std::nullopt;
  }
  const int y = Digits(text, 0, 4), m = Digits(text, 5, 2);
  const int d = text.size() == kDayLength ? Digits(text, 8, 2) : 1;
  if (y < 0 || m < 0 || d < 0) {
    return std::nullopt;
  }
  const year_month_day date(year(y), month(static_cast<unsigned>(m)),
                            day(static_cast<unsigned>(d)));
  return date.ok() ? std::optional(date) : std::nullopt;
}

int64_t MonthsOf(const year_month_day& date) {
  return static_cast<int>(date.year()) * kMonthsInYear + static_cast<unsigned>(date.month()) - 1;
}

std::string Padded(int64_t value, size_t width) {
  std::string text = absl::StrCat(value);
  return std::string(width - std::min(width, text.size()), '0') + text;
}

std::string WriteMonth(int64_t months) {
  return absl::StrCat(Padded(months / kMonthsInYear, 4), "-",
                      Padded(months % kMonthsInYear + 1, 2));
}

std::string WriteDay(const year_month_day& date) {
  return absl::StrCat(WriteMonth(MonthsOf(date)), "-",
                      Padded(static_cast<unsigned>(date.day()), 2));
}

// That day of the month, or the month's last one.
year_month_day DayOfMonth(int64_t months, day wanted) {
  const year y(static_cast<int>(months / kMonthsInYear));
  const month m(static_cast<unsigned>(months % kMonthsInYear) + 1);
  const year_month_day last(y / m / std::chrono::last);
  return {y, m, std::min(wanted, last.day())};
}

std::string WriteNumber(double value) {
  constexpr double kExact = 9007199254740992;  // 2^53
  return value == std::floor(value) && std::abs(value) < kExact
             ? absl::StrCat(static_cast<int64_t>(value))
             : absl::StrCat(value);
}

}  // namespace

std::optional<SeriesTime> ParseSeriesTime(absl::string_view text) {
  if (const std::optional<double> number = ToNumber(text)) {
    return SeriesTime{.kind = SeriesTime::Kind::kNumber, .at = *number};
  }
  const std::optional<year_month_day> date = ParseDate(text);
  if (!date) {
    return std::nullopt;
  }
  if (text.size() == kMonthLength) {
    return SeriesTime{.kind = SeriesTime::Kind::kMonth, .at = static_cast<double>(MonthsOf(*date))};
  }
  const auto days = std::chrono::sys_days(*date).time_since_epoch().count();
  return SeriesTime{.kind = SeriesTime::Kind::kDay, .at = static_cast<double>(days)};
}

std::vector<std::string> NextTimes(const std::vector<std::string>& times, int64_t count) {
  if (times.size() < 2) {
    return {};
  }
  const std::string& before_text = times[times.size() - 2];
  const std::optional<SeriesTime> before = ParseSeriesTime(before_text);
  const std::optional<SeriesTime> last = ParseSeriesTime(times.back());
  if (!before || !last || before->kind != last->kind || last->at <= before->at) {
    return {};
  }
  const double gap = last->at - before->at;
  int64_t months = 0;
  std::optional<year_month_day> date;
  if (last->kind == SeriesTime::Kind::kDay) {
    date = ParseDate(times.back());
    const std::optional<year_month_day> other = ParseDate(before_text);
    months = date->day() == other->day() ? MonthsOf(*date) - MonthsOf(*other) : 0;
  }
  std::vector<std::string> next;
  for (int64_t i = 1; i <= count; ++i) {
    const double at = last->at + static_cast<double>(i) * gap;
    if (last->kind == SeriesTime::Kind::kNumber) {
      next.push_back(WriteNumber(at));
    } else if (last->kind == SeriesTime::Kind::kMonth) {
      next.push_back(WriteMonth(static_cast<int64_t>(at)));
    } else if (months > 0) {
      next.push_back(WriteDay(DayOfMonth(MonthsOf(*date) + i * months, date->day())));
    } else {
      const std::chrono::sys_days days{std::chrono::days(static_cast<int64_t>(at))};
      next.push_back(WriteDay(year_month_day(days)));
    }
  }
  return next;
}

}  // namespace hone::engine::data
