#include "engine/data/rating_split.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/prepare.h"

namespace hone::engine::data {
namespace {

// Takes what `takes` of the rows, and leaves the others in their order.
template <typename Takes>
std::vector<int32_t> TakeIf(std::vector<int32_t>& rows, const Takes& takes) {
  std::vector<int32_t> taken, left;
  for (const int32_t row : rows) {
    (takes(row) ? taken : left).push_back(row);
  }
  rows = std::move(left);
  return taken;
}

// The latest so many of the rows, which ascend; of equal times those that stand last.
std::vector<int32_t> TakeLatest(const RatingRows& ratings, int64_t count,
                                std::vector<int32_t>& rows) {
  std::vector<int32_t> by_time = rows;
  std::ranges::stable_sort(by_time, {},
                           [&](int32_t row) { return ratings.times[static_cast<size_t>(row)]; });
  std::vector<bool> late(static_cast<size_t>(ratings.size()));
  for (size_t i = by_time.size() - static_cast<size_t>(count); i < by_time.size(); ++i) {
    late[static_cast<size_t>(by_time[i])] = true;
  }
  return TakeIf(rows, [&](int32_t row) { return late[static_cast<size_t>(row)]; });
}

// One row of each user who has others beside it: the latest, or one by chance where there are no
// times.
std::vector<int32_t> TakeOneOfEach(const RatingRows& ratings, RandomStream& random,
                                   std::vector<int32_t>& rows) {
  std::vector<int32_t> last(ratings.users.size(), -1), count(ratings.users.size());
  for (const int32_t row : rows) {
    const auto r = static_cast<size_t>(row);
    const auto user = static_cast<size_t>(ratings.user_of[r]);
    ++count[user];
    const bool takes = last[user] < 0 ||
                       (ratings.times.empty()
                            // The n-th of a user takes the place with probability 1 / n.
                            ? random.NextBelow(static_cast<uint64_t>(count[user])) == 0
                            : ratings.times[r] >= ratings.times[static_cast<size_t>(last[user])]);
    last[user] = takes ? row : last[user];
  }
  return TakeIf(rows, [&](int32_t row) {
    const auto user = static_cast<size_t>(ratings.user_of[static_cast<size_t>(row)]);
    return count[user] > 1 && last[user] == row;
  });
}

}  // namespace

absl::StatusOr<Splits> SplitRatings(const RatingRows& ratings, const std::vector<bool>& keep,
                                    const LoadOptions& options) {
  using Kind = RatingOptions::Split;
  const Kind kind = options.ratings.split;
  SplitRequest request{
      .size = ratings.size(), .train_size = ratings.size(), .labels = {}, .keep = &keep};
  if (kind == Kind::kRandom) {
    return Split(request, options);
  }
  if (options.fold_count > 0) {
    return absl::InvalidArgumentError(
        "data.fold: divides the ratings at random; data.ratings.split must be RANDOM");
  }
  if (kind == Kind::kByTime && ratings.times.empty()) {
    return absl::InvalidArgumentError(
        "data.ratings.split: BY_TIME needs times; data.ratings.time names their column");
  }
  HONE_RETURN_IF_ERROR(CheckFractions(options));
  // The limit is kept as for other splits.
  LoadOptions rest = options;
  std::vector<int32_t> rows;
  for (int64_t row = 0; row < ratings.size(); ++row) {
    if (keep[static_cast<size_t>(row)]) {
      rows.push_back(static_cast<int32_t>(row));
    }
  }
  const auto share = [](double fraction, const std::vector<int32_t>& of) {
    return CountOfFraction(fraction, static_cast<int64_t>(of.size()));
  };
  Splits splits;
  RandomStream test(options.seed, "split test"), validation(options.seed, "split validation");
  if (kind == Kind::kByTime) {
    splits.test = TakeLatest(ratings, share(options.test_fraction, rows), rows);
  } else if (options.test_fraction > 0) {
    splits.test = TakeOneOfEach(ratings, test, rows);
  }
  rest.test_fraction = rest.validation_fraction = 0;
  rest.validation_count = 0;
  std::vector<bool> others(keep.size());
  for (const int32_t row : rows) {
    others[static_cast<size_t>(row)] = true;
  }
  request.keep = &others;
  HONE_ASSIGN_OR_RETURN(Splits limited, Split(request, rest));
  splits.train = std::move(limited.train);
  const bool validates = options.validation_fraction > 0 || options.validation_count > 0;
  if (validates && kind == Kind::kLeaveOneOut) {
    splits.validation = TakeOneOfEach(ratings, validation, splits.train);
  } else if (validates) {
    const int64_t count = options.validation_count > 0
                              ? options.validation_count
                              : share(options.validation_fraction, splits.train);
    if (count >= static_cast<int64_t>(splits.train.size())) {
      return absl::InvalidArgumentError(
          absl::StrCat("nothing is left to train on: the training part has ", splits.train.size(),
                       " ratings, and ", count, " are set aside for validation"));
    }
    splits.validation = TakeLatest(ratings, count, splits.train);
  }
  return splits;
}

}  // namespace hone::engine::data
