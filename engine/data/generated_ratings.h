#pragma once

#include <cstdint>

#include "engine/data/rating_rows.h"

namespace hone::engine::data {

// Ratings drawn by a program, with a floor that is known: a rating is
//   3.5 + a user's bias + an item's bias + Σ user's factors · item's factors + noise,
// biases with deviation 0.5, the sum over factors with deviation 0.8, all normal. Nothing is
// rounded, so that whoever knew all but the noise would be wrong by the noise alone. Some items are
// rated more often than others, and users rate more often what is to their taste; a pair occurs
// once. Times ascend with the rows. The same options give the same ratings.
struct GeneratedRatingsOptions {
  int64_t users = 600;
  int64_t items = 400;
  int64_t ratings = 100000;
  int64_t factors = 3;
  double noise = 0.8;  // its deviation
  uint64_t seed = 1;
};
RatingRows GenerateRatings(const GeneratedRatingsOptions& options);

}  // namespace hone::engine::data
