#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/load.h"

namespace hone::engine::data {

// What a model of a series keeps: what it reads, what it says, and how numbers are scaled. All that
// is measured is measured on the training part.
struct SeriesFormat {
  using Scaling = SeriesOptions::Scaling;
  using Base = SeriesOptions::Base;

  std::vector<std::string> columns;  // of a point: the target first
  std::string time;                  // the column of the times; "": there is none
  int64_t window = 1;
  int64_t horizon = 1;
  int64_t period = 1;
  Scaling scaling = Scaling::kStandard;
  Base base = Base::kZero;
  std::vector<double> mean;  // [columns], of the logarithms with kLogStandard; 0 of kUnscaled
  std::vector<double> std;   // [columns], positive; 1 of kUnscaled
  // The mean of |y(t) − y(t − period)| of the target: how far the seasonal naive forecast, or for a
  // period of 1 the naive one, is off for the next season. In this unit MASE is: Hyndman and
  // Koehler, "Another look at measures of forecast accuracy", International Journal of Forecasting
  // 22 (2006). 0: it is never off, and there is no MASE.
  double naive_error = 0;

  // Points that a forecast needs before it.
  int64_t history() const { return base == Base::kSeasonal && period > window ? period : window; }
  int64_t width() const { return static_cast<int64_t>(columns.size()); }

  // A value of a column as the model reads it, and a number of the target in its own unit again.
  double Scale(size_t column, double value) const;
  double Unscale(double number) const;

  // Whose value the naive forecasts repeat for the point `ahead` points behind the first unknown
  // one, as its distance from that: −1 is the last known point, which the naive forecast takes; the
  // seasonal one takes the same place of the last known season.
  static int64_t NaivePlace() { return -1; }
  int64_t SeasonalPlace(int64_t ahead) const { return ahead % period - period; }

  // As Preprocessing::own keeps it. INVALID_ARGUMENT names what does not fit.
  std::string ToJson() const;
  static absl::StatusOr<SeriesFormat> FromJson(const std::string& text);
};

}  // namespace hone::engine::data
