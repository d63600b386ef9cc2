#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/load.h"
#include "engine/data/rating_rows.h"

namespace hone::engine::data {

// Divides the rows that are kept (`keep`, by row) as options.ratings.split says: at random, the
// latest ratings apart, or one rating of each user, the latest or one by chance where there are no
// times. INVALID_ARGUMENT: shares that are none, ratings without times split by time, folds of what
// is not split at random, nothing left to train on.
absl::StatusOr<Splits> SplitRatings(const RatingRows& ratings, const std::vector<bool>& keep,
                                    const LoadOptions& options);

}  // namespace hone::engine::data
