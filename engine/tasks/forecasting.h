#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tasks/regression.h"

namespace hone::engine::tasks {

class Task;

// What comes next in a series of numbers (data/series.h). The model reads windows as rows of tokens
// (tensor/token_rows.h): a row is a point, its numbers the scaled columns, and all windows are
// equally long, so that nothing is padded. It gives the target's next values, [batch, horizon],
// scaled, less the base of the series' format.
//
// Measured in the target's own unit, over all points that are forecast: MAE, RMSE, and MASE, the
// MAE by that of the (seasonal) naive forecast within the training part; beside them the same
// figures of the naive forecast (the last value repeated), and, where there are seasons, of the
// seasonal naive one (the last season repeated).
struct ForecastingOptions : RegressionOptions {};

// The model's inputs: these and kOffsetsInput.
inline constexpr absl::string_view kPointsInput = "points";  // f32 [rows, columns]

std::unique_ptr<Task> MakeForecasting(const ForecastingOptions& options);
// Of what Task::ToJson gave: see table.h.
absl::StatusOr<ForecastingOptions> ForecastingFromJson(const nlohmann::json& json);

}  // namespace hone::engine::tasks
