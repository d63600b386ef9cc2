#pragma once

#include <vector>

#include "client/cli/text.h"
#include "hone/v1/prediction.pb.h"

namespace hone::client::cli {

// A forecast drawn behind the last points that were given, and its values with their times below.
// The plot is left out where it has no room. None where there is no forecast.
std::vector<Line> ForecastLines(const v1::Prediction::Forecast& forecast, int width);

}  // namespace hone::client::cli
