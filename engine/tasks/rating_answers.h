#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "engine/data/preprocessing.h"
#include "engine/tasks/prediction.h"

namespace hone::engine::tasks {

// Answers who asks a model of ratings: a user's best items, or the rating of a pair (a record with
// the table's user and item columns). Of explicit feedback the outputs are ratings brought to mean
// 0 and deviation 1, and an answer is between the lowest and the highest rating of the training
// part: a model's number may lie beyond. Of implicit feedback they are scores. What the model does
// not know is answered by the means of the index, and said to be. INVALID_ARGUMENT where the
// preprocessing has no such index.
absl::StatusOr<std::unique_ptr<Answerer>> NewRatingAnswerer(
    const data::Preprocessing& preprocessing, bool implicit);

}  // namespace hone::engine::tasks
