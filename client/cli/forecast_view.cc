#include "client/cli/forecast_view.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/curve.h"

namespace hone::client::cli {
namespace {

constexpr int kValuesShown = 24;
constexpr int kMargin = 3;
constexpr int kWidest = 100;

// What a point is called: its time, else how far it is behind the last one.
std::string NameOf(const v1::Prediction::Forecast& forecast, int ahead) {
  return ahead < forecast.times_size() ? forecast.times(ahead) : absl::StrCat("+", ahead + 1);
}

// From where to where the history goes.
std::string HistoryName(const v1::Prediction::Forecast& forecast) {
  const int points = forecast.history_times_size();
  return points == 0 ? forecast.target()
                     : absl::StrCat(forecast.target(), ", ", forecast.history_times(0), " to ",
                                    forecast.history_times(points - 1));
}

}  // namespace

std::vector<Line> ForecastLines(const v1::Prediction::Forecast& forecast, int width) {
  if (forecast.values().empty()) {
    return {};
  }
  Curve history, next;
  double point = 0;
  for (const double value : forecast.history()) {
    history.Add(point++, value);
  }
  // So that the two join.
  if (!forecast.history().empty()) {
    next.Add(point - 1, *forecast.history().rbegin());
  }
  for (const double value : forecast.values()) {
    next.Add(point++, value);
  }
  const NamedCurve curves[] = {
      {.curve = &history, .name = HistoryName(forecast), .style = Style::kDim},
      {.curve = &next, .name = "forecast", .style = Style::kTrain}};
  std::vector<Line> lines = PlotCurves(curves, {.width = std::min(width, kWidest),
                                                .height = 10,
                                                .total_steps = point - 1,
                                                .counts_steps = false});
  const int shown = std::min(forecast.values_size(), kValuesShown);
  int longest = 0;
  for (int ahead = 0; ahead < shown; ++ahead) {
    longest = std::max(longest, Columns(NameOf(forecast, ahead)));
  }
  for (int ahead = 0; ahead < shown; ++ahead) {
    Line line;
    line.PadTo(kMargin).Add(NameOf(forecast, ahead), Style::kDim).PadTo(kMargin + longest + 2);
    line.Add(Significant(forecast.values(ahead)), Style::kBold);
    lines.push_back(std::move(line));
  }
  if (shown < forecast.values_size()) {
    lines.push_back(Line().PadTo(kMargin).Add(
        absl::StrCat("and ", forecast.values_size() - shown, " more: --output json has all"),
        Style::kDim));
  }
  return lines;
}

}  // namespace hone::client::cli
