#include "engine/data/series.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/data/byte_source.h"
#include "engine/data/catalog.h"
#include "engine/data/fingerprint.h"
#include "engine/data/prepare.h"
#include "engine/data/series_rows.h"

namespace hone::engine::data {
namespace {

constexpr int64_t kMostSeriesBytes = int64_t{2} << 30;

// The points of the parts: training [0, validation), validation [validation, test), test behind.
struct Cuts {
  int64_t validation = 0;
  int64_t test = 0;
  int64_t end = 0;
};

absl::StatusOr<Cuts> CutsOf(int64_t points, const LoadOptions& options) {
  HONE_RETURN_IF_ERROR(CheckFractions(options));
  if (options.fold_count > 0 || options.limit > 0 || options.deduplicate) {
    return absl::InvalidArgumentError(
        "a series is divided in the order of time, whole: data.fold, data.limit and "
        "data.deduplicate must not be given");
  }
  Cuts cuts{.end = points};
  cuts.test = points - CountOfFraction(options.test_fraction, points);
  cuts.validation = cuts.test - (options.validation_count > 0
                                     ? std::min(options.validation_count, cuts.test)
                                     : CountOfFraction(options.validation_fraction, cuts.test));
  return cuts;
}

// Whether a window, a season and a horizon fit, and each part that there is has an example.
absl::Status CheckLengths(const Cuts& cuts, const SeriesFormat& format) {
  const int64_t before = std::max(format.window, format.period);
  const auto needs = [&](int64_t points) {
    return absl::StrCat(" points; ",
                        format.period > format.window ? absl::StrCat("a season of ", format.period)
                                                      : absl::StrCat("a window of ", format.window),
                        " and a horizon of ", format.horizon, " need at least ", points);
  };
  if (cuts.validation < before + format.horizon) {
    const bool is_cut = cuts.validation < cuts.end;
    return absl::InvalidArgumentError(absl::StrCat(
        is_cut ? "the training part has " : "has ", cuts.validation, needs(before + format.horizon),
        is_cut ? absl::StrCat("; validation_fraction and test_fraction set ",
                              cuts.end - cuts.validation, " aside")
               : ""));
  }
  for (const auto& [part, points] : {std::pair("validation", cuts.test - cuts.validation),
                                     std::pair("test", cuts.end - cuts.test)}) {
    if (points > 0 && points < format.horizon) {
      return absl::InvalidArgumentError(
          absl::StrCat("the ", part, " part has ", points, " points; a horizon of ", format.horizon,
                       " needs at least as many (data.", part, "_fraction)"));
    }
  }
  return absl::OkStatus();
}

// The mean and deviation of each column, and how far the seasonal naive forecast is off, of the
// first so many points.
absl::Status Measure(const SeriesRows& rows, int64_t points, SeriesFormat& format) {
  const size_t width = rows.columns.size();
  const auto count = static_cast<size_t>(points);
  format.mean.assign(width, 0);
  format.std.assign(width, 1);
  for (size_t c = 0; c < width; ++c) {
    // Scaled by 0 and 1: what is measured.
    double sum = 0, squares = 0, low = rows.values[c], high = low;
    for (size_t i = 0; i < count; ++i) {
      const double value = rows.values[i * width + c];
      low = std::min(low, value);
      high = std::max(high, value);
      sum += format.Scale(c, value);
    }
    if (low == high) {
      return absl::InvalidArgumentError(
          absl::StrCat("column '", rows.columns[c], "' is ", low,
                       " at each point of the training part; nothing can be learned from it"));
    }
    if (format.scaling == SeriesFormat::Scaling::kUnscaled) {
      continue;
    }
    const double mean = sum / static_cast<double>(points);
    for (size_t i = 0; i < count; ++i) {
      squares += std::pow(format.Scale(c, rows.values[i * width + c]) - mean, 2);
    }
    const double deviation = std::sqrt(squares / static_cast<double>(points));
    if (!(deviation > 0)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "column '", rows.columns[c], "' changes too little in the training part: between ", low,
          " and ", high, "; nothing can be learned from it"));
    }
    format.mean[c] = mean;
    format.std[c] = deviation;
  }
  double off = 0;
  for (int64_t i = format.period; i < points; ++i) {
    off += std::abs(rows.values[static_cast<size_t>(i) * width] -
                    rows.values[static_cast<size_t>(i - format.period) * width]);
  }
  format.naive_error = off / static_cast<double>(points - format.period);
  return absl::OkStatus();
}

SeriesFormat FormatOf(const SeriesOptions& options) {
  SeriesFormat format;
  format.time = options.time;
  format.window = options.window;
  format.horizon = options.horizon;
  format.period = options.period;
  format.scaling = options.scaling;
  format.base = options.base;
  return format;
}

absl::Status CheckOptions(const SeriesOptions& options) {
  for (const auto& [field, points] :
       {std::pair("window", options.window), std::pair("horizon", options.horizon),
        std::pair("step", options.step), std::pair("period", options.period)}) {
    if (points < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("data.series.", field, ": must be at least 1, got ", points));
    }
  }
  return absl::OkStatus();
}

// Examples whose targets are all of the part [begin, end), numbered from those that there are.
std::vector<int32_t> AddExamples(int64_t begin, int64_t end, int64_t step,
                                 const SeriesFormat& format, std::vector<int32_t>& first) {
  std::vector<int32_t> rows;
  for (int64_t point = std::max({begin, format.window, format.period});
       point + format.horizon <= end; point += step) {
    rows.push_back(static_cast<int32_t>(first.size()));
    first.push_back(static_cast<int32_t>(point));
  }
  return rows;
}

absl::StatusOr<LoadedData> Finish(const SeriesColumns& columns, SeriesFormat format,
                                  const LoadOptions& options, DataReport report) {
  HONE_ASSIGN_OR_RETURN(std::string text, ReadText(options.path, kMostSeriesBytes));
  absl::StatusOr<SeriesRows> rows = ReadSeriesRows(std::move(text), columns);
  HONE_RETURN_IF_ERROR(Annotate(rows.status(), options.path));
  const int64_t points = rows->size();
  if (points > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.path, ": has ", points, " points; at most 2147483647 can be held"));
  }
  report.examples_read = points;
  HONE_ASSIGN_OR_RETURN(const Cuts cuts, CutsOf(points, options));
  HONE_RETURN_IF_ERROR(Annotate(CheckLengths(cuts, format), options.path));
  if (options.as == nullptr) {
    format.columns = rows->columns;
    HONE_RETURN_IF_ERROR(Annotate(Measure(*rows, cuts.validation, format), options.path));
  }
  LoadedData data;
  Series::Parts parts;
  const int64_t step = std::max<int64_t>(options.series.step, 1);
  data.splits.train = AddExamples(0, cuts.validation, step, format, parts.first);
  data.splits.validation = AddExamples(cuts.validation, cuts.test, step, format, parts.first);
  data.splits.test = AddExamples(cuts.test, cuts.end, step, format, parts.first);
  report.notes.push_back(absl::StrCat(points, " points in the order of time: ", cuts.validation,
                                      " to train, ", cuts.test - cuts.validation, " to validate, ",
                                      cuts.end - cuts.test, " to test; an example is ",
                                      format.window, " of them and the next ", format.horizon,
                                      " of '", format.columns[0], "'"));
  CountSplits(data.splits, {}, 0, report);
  data.preprocessing.input = Preprocessing::Input::kOwn;
  data.preprocessing.own_features = {Shape{format.window, format.width()}, DType::kF32};
  data.preprocessing.own = format.ToJson();
  data.preprocessing.target_names = {format.columns[0]};
  data.preprocessing.target_mean = {format.mean[0]};
  data.preprocessing.target_std = {format.std[0]};
  parts.format = std::move(format);
  parts.values = std::move(rows->values);
  data.dataset = Dataset(std::make_shared<const Series>(std::move(parts)));
  data.report = std::move(report);
  data.fingerprint = Fingerprint(data);
  return data;
}

absl::StatusOr<LoadedData> LoadSeriesOrThrow(LoadOptions options) {
  HONE_RETURN_IF_ERROR(CheckSource(options));
  DataReport report;
  report.format = "series";
  report.source = options.path;
  SeriesColumns columns = {.target = options.series.target,
                           .others = options.series.columns,
                           .time = options.series.time};
  if (!options.dataset.empty()) {
    HONE_ASSIGN_OR_RETURN(const CatalogEntry* entry, Find(options.dataset));
    if (entry->task != Task::kForecasting) {
      std::vector<absl::string_view> names;
      for (const CatalogEntry& other : Catalog()) {
        if (other.task == Task::kForecasting) {
          names.push_back(other.name);
        }
      }
      return absl::InvalidArgumentError(absl::StrCat(
          "data set ", options.dataset, " is no series; these are: ", absl::StrJoin(names, ", ")));
    }
    HONE_ASSIGN_OR_RETURN(Materialised found, Materialise(*entry, options.sources));
    report.source = found.source;
    report.notes = found.notes;
    options.path = found.path;
    columns.target = columns.target.empty() ? entry->target : columns.target;
  }
  SeriesFormat format = FormatOf(options.series);
  if (options.as != nullptr) {
    HONE_ASSIGN_OR_RETURN(format, SeriesFormat::FromJson(options.as->own));
    columns = {.target = format.columns[0],
               .others = {format.columns.begin() + 1, format.columns.end()},
               .time = format.time,
               .time_may_be_absent = true};
  } else {
    HONE_RETURN_IF_ERROR(CheckOptions(options.series));
  }
  columns.must_be_positive = format.scaling == SeriesFormat::Scaling::kLogStandard;
  return Finish(columns, std::move(format), options, std::move(report));
}

}  // namespace

absl::StatusOr<LoadedData> LoadSeries(const LoadOptions& options) {
  return WithinMemory(options, "the series", [&] { return LoadSeriesOrThrow(options); });
}

Series::Series(Parts parts) : parts_(std::move(parts)) {
  const size_t width = parts_.format.columns.size();
  scaled_.reserve(parts_.values.size());
  for (size_t i = 0; i < parts_.values.size(); ++i) {
    scaled_.push_back(static_cast<float>(parts_.format.Scale(i % width, parts_.values[i])));
  }
  const auto hash = [](const auto& values) {
    return ContentHash(values.data(), static_cast<int64_t>(values.size() * sizeof(values[0])));
  };
  const uint64_t hashes[] = {hash(parts_.values), hash(parts_.first)};
  content_hash_ = ContentHash(hashes, sizeof(hashes));
}

int64_t Series::bytes() const {
  return static_cast<int64_t>(parts_.values.size() * (sizeof(double) + sizeof(float)) +
                              parts_.first.size() * sizeof(int32_t));
}

std::span<const float> Series::window(int32_t row) const {
  const SeriesFormat& format = parts_.format;
  const int64_t width = format.width();
  return std::span(scaled_).subspan(static_cast<size_t>((first(row) - format.window) * width),
                                    static_cast<size_t>(format.window * width));
}

double Series::base(int32_t row, int64_t ahead) const {
  switch (parts_.format.base) {
    case SeriesFormat::Base::kLast:
      return scaled(first(row) + SeriesFormat::NaivePlace());
    case SeriesFormat::Base::kSeasonal:
      return scaled(first(row) + parts_.format.SeasonalPlace(ahead));
    case SeriesFormat::Base::kZero:
      break;
  }
  return 0;
}

float Series::target(int32_t row, int64_t ahead) const {
  return static_cast<float>(scaled(first(row) + ahead) - base(row, ahead));
}

}  // namespace hone::engine::data
