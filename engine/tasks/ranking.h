#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "engine/data/ratings.h"

namespace hone::engine::tasks {

// How well scores put what users took at the top of their lists.
struct RankingQuality {
  // Each held-out rating is ranked among the items that its user has rated nowhere; items with the
  // same score stand before it. A rating of a user or an item that is not known stands last.
  double hit_rate = 0;  // the share of those among the first kListLength
  // The mean of 1 / log2(1 + place) where the place, counted from 1, is among those, else of 0:
  // NDCG with one relevant item. Järvelin and Kekäläinen, ACM TOIS 20, 2002.
  double ndcg = 0;
  int64_t ratings = 0;  // that were ranked
};

// Scores of some users for all items: those of the u-th begin at scores[u · items], and stand in
// the order of the items' numbers.
using ScoreUsers =
    absl::FunctionRef<absl::Status(std::span<const int32_t> users, std::span<float> scores)>;

// Over those of the data set's rows that are held out, `rows`, of `most_users` users at most,
// evenly spread (0: all).
absl::StatusOr<RankingQuality> RankHeldOut(const data::Ratings& ratings,
                                           std::span<const int32_t> rows, int64_t most_users,
                                           ScoreUsers score);

}  // namespace hone::engine::tasks
