#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "engine/data/preprocessing.h"
#include "engine/tasks/prediction.h"

namespace hone::engine::tasks {

// Where windows of equal length begin, as the input kOffsetsInput has it.
void FillOffsets(int64_t window, std::span<int32_t> offsets);

// Answers who gives a model a series with the target's next values, and their times where the table
// has the column of times that the training had. INVALID_ARGUMENT where the preprocessing has no
// SeriesFormat.
absl::StatusOr<std::unique_ptr<Answerer>> NewForecastAnswerer(
    const data::Preprocessing& preprocessing);

}  // namespace hone::engine::tasks
