#include "engine/tasks/ranking.h"

#include <algorithm>
#include <cmath>

#include "absl/status/statusor.h"
#include "engine/base/status.h"
#include "engine/tasks/recommendation.h"

namespace hone::engine::tasks {

namespace {

constexpr size_t kUsersTogether = 64;

// Places of a user's held-out items.
void RankUser(const data::RatingIndex& index, int32_t user, std::span<const int32_t> held_out,
              std::span<const float> scores, std::vector<bool>& candidate,
              RankingQuality& quality) {
  std::fill(candidate.begin(), candidate.end(), true);
  for (const int32_t item : index.RatedBy(user)) {
    candidate[static_cast<size_t>(item)] = false;
  }
  for (const int32_t item : held_out) {
    if (item >= 0) {
      candidate[static_cast<size_t>(item)] = false;
    }
  }
  for (const int32_t item : held_out) {
    ++quality.ratings;
    if (item < 0) {
      continue;  // stands last
    }
    const float own = scores[static_cast<size_t>(item)];
    int64_t before = 0;
    for (size_t i = 0; i < scores.size() && before < kListLength; ++i) {
      before += candidate[i] && !(scores[i] < own);  // a NaN stands before all
    }
    if (before < kListLength) {
      quality.hit_rate += 1;
      quality.ndcg += 1 / std::log2(static_cast<double>(before) + 2);
    }
  }
}

}  // namespace

absl::StatusOr<RankingQuality> RankHeldOut(const data::Ratings& ratings,
                                           std::span<const int32_t> rows, int64_t most_users,
                                           ScoreUsers score) {
  const data::RatingIndex& index = ratings.index();
  std::vector<std::vector<int32_t>> held_out(index.users.size());
  RankingQuality quality;
  for (const int32_t row : rows) {
    if (ratings.user(row) < 0) {
      ++quality.ratings;  // stands last
    } else {
      held_out[static_cast<size_t>(ratings.user(row))].push_back(ratings.item(row));
    }
  }
  std::vector<int32_t> users;
  for (size_t user = 0; user < held_out.size(); ++user) {
    if (!held_out[user].empty()) {
      users.push_back(static_cast<int32_t>(user));
    }
  }
  if (const size_t all = users.size(); most_users > 0 && all > static_cast<size_t>(most_users)) {
    for (size_t i = 0; i < static_cast<size_t>(most_users); ++i) {
      users[i] = users[i * all / static_cast<size_t>(most_users)];
    }
    users.resize(static_cast<size_t>(most_users));
  }
  const size_t items = index.items.size();
  std::vector<float> scores(std::min(kUsersTogether, users.size()) * items);
  std::vector<bool> candidate(items);
  for (size_t begin = 0; begin < users.size(); begin += kUsersTogether) {
    const size_t count = std::min(kUsersTogether, users.size() - begin);
    const std::span<float> of_group = std::span(scores).first(count * items);
    HONE_RETURN_IF_ERROR(score(std::span(users).subspan(begin, count), of_group));
    for (size_t i = 0; i < count; ++i) {
      const int32_t user = users[begin + i];
      RankUser(index, user, held_out[static_cast<size_t>(user)], of_group.subspan(i * items, items),
               candidate, quality);
    }
  }
  const auto count = static_cast<double>(std::max<int64_t>(quality.ratings, 1));
  quality.hit_rate /= count;
  quality.ndcg /= count;
  return quality;
}

}  // namespace hone::engine::tasks
