#include "engine/data/series_format.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/json.h"
#include "engine/base/status.h"

namespace hone::engine::data {
namespace {

// By their enumerations.
constexpr absl::string_view kScalings[] = {"standard", "log_standard", "unscaled"};
constexpr absl::string_view kBases[] = {"zero", "last", "seasonal"};

constexpr int64_t kMostPoints = 1 << 20;  // of a window, a horizon, a season

absl::Status Bad(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("series: ", what));
}

absl::Status Check(const SeriesFormat& format) {
  const auto is_length = [](int64_t points) { return points >= 1 && points <= kMostPoints; };
  if (!is_length(format.window) || !is_length(format.horizon) || !is_length(format.period)) {
    return Bad("`window`, `horizon` and `period` must be 1 to 1048576 points");
  }
  const size_t columns = format.columns.size();
  const auto finite = [](double value) { return std::isfinite(value); };
  const auto positive = [](double value) { return std::isfinite(value) && value > 0; };
  if (columns == 0 || format.mean.size() != columns || format.std.size() != columns ||
      !std::ranges::all_of(format.mean, finite) || !std::ranges::all_of(format.std, positive)) {
    return Bad("`mean` and `std` need one value for each of `columns`, std positive");
  }
  if (!std::isfinite(format.naive_error) || format.naive_error < 0) {
    return Bad("`naive_error` must be 0 or more");
  }
  return absl::OkStatus();
}

}  // namespace

double SeriesFormat::Scale(size_t column, double value) const {
  const double number = scaling == Scaling::kLogStandard ? std::log(value) : value;
  return (number - mean[column]) / std[column];
}

double SeriesFormat::Unscale(double number) const {
  const double value = number * std[0] + mean[0];
  return scaling == Scaling::kLogStandard ? std::exp(value) : value;
}

std::string SeriesFormat::ToJson() const {
  return nlohmann::json({{"columns", columns},
                         {"time", time},
                         {"window", window},
                         {"horizon", horizon},
                         {"period", period},
                         {"scaling", kScalings[static_cast<size_t>(scaling)]},
                         {"base", kBases[static_cast<size_t>(base)]},
                         {"mean", mean},
                         {"std", std},
                         {"naive_error", naive_error}})
      .dump();
}

absl::StatusOr<SeriesFormat> SeriesFormat::FromJson(const std::string& text) {
  SeriesFormat format;
  try {
    const absl::StatusOr<nlohmann::json> parsed = ParseJson(text);
    HONE_RETURN_IF_ERROR(Annotate(parsed.status(), "series"));
    const nlohmann::json& json = *parsed;
    json.at("columns").get_to(format.columns);
    json.at("time").get_to(format.time);
    json.at("window").get_to(format.window);
    json.at("horizon").get_to(format.horizon);
    json.at("period").get_to(format.period);
    const auto scaling = std::ranges::find(kScalings, json.at("scaling").get<std::string>());
    const auto base = std::ranges::find(kBases, json.at("base").get<std::string>());
    if (scaling == std::end(kScalings) || base == std::end(kBases)) {
      return Bad("`scaling` or `base` is not known");
    }
    format.scaling = static_cast<Scaling>(scaling - std::begin(kScalings));
    format.base = static_cast<Base>(base - std::begin(kBases));
    json.at("mean").get_to(format.mean);
    json.at("std").get_to(format.std);
    json.at("naive_error").get_to(format.naive_error);
  } catch (const nlohmann::json::exception& error) {
    return Bad(error.what());
  }
  if (const absl::Status status = Check(format); !status.ok()) {
    return status;
  }
  return format;
}

}  // namespace hone::engine::data
