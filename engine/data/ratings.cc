#include "engine/data/ratings.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/data/catalog.h"
#include "engine/data/fingerprint.h"
#include "engine/data/generated_ratings.h"
#include "engine/data/prepare.h"
#include "engine/data/rating_rows.h"
#include "engine/data/rating_split.h"

namespace hone::engine::data {
namespace {

// Pairs that a model remembers, so that it does not recommend what somebody knows already.
constexpr int64_t kMostRemembered = 20'000'000;
// By so many ratings of the mean of all are the means of users and items drawn towards it.
constexpr double kDrawn = 5;

// Exact copies leave where that is wanted; pairs that are rated again otherwise are counted.
std::vector<bool> DropCopies(const RatingRows& rows, bool drop, DataReport& report) {
  const auto at = [](int64_t row) { return static_cast<size_t>(row); };
  const auto hash = [&](int64_t row) {
    const int32_t pair[] = {rows.user_of[at(row)], rows.item_of[at(row)]};
    return ContentHash(pair, sizeof(pair));
  };
  const auto same_pair = [&](int64_t a, int64_t b) {
    return rows.user_of[at(a)] == rows.user_of[at(b)] && rows.item_of[at(a)] == rows.item_of[at(b)];
  };
  const auto same_value = [&](int64_t a, int64_t b) {
    return rows.values[at(a)] == rows.values[at(b)];
  };
  return FindCopies({rows.size(), rows.size(), hash, same_pair, same_value}, drop, report);
}

// Numbers what the training part has of `ids`, in their order. −1 for the others.
std::vector<int32_t> Renumber(std::vector<std::string>& ids, const std::vector<int32_t>& of_row,
                              const std::vector<int32_t>& train, std::vector<std::string>* names) {
  std::vector<bool> used(ids.size());
  for (const int32_t row : train) {
    used[static_cast<size_t>(of_row[static_cast<size_t>(row)])] = true;
  }
  std::vector<int32_t> order;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (used[i]) {
      order.push_back(static_cast<int32_t>(i));
    }
  }
  const auto id = [&](int32_t i) -> const std::string& { return ids[static_cast<size_t>(i)]; };
  std::ranges::sort(order, [&](int32_t a, int32_t b) { return IdIsBefore(id(a), id(b)); });
  std::vector<int32_t> number(ids.size(), -1);
  std::vector<std::string> sorted, sorted_names;
  for (const int32_t i : order) {
    number[static_cast<size_t>(i)] = static_cast<int32_t>(sorted.size());
    sorted.push_back(id(i));
    if (names != nullptr && !names->empty()) {
      sorted_names.push_back((*names)[static_cast<size_t>(i)]);
    }
  }
  ids = std::move(sorted);
  if (names != nullptr) {
    *names = std::move(sorted_names);
  }
  std::vector<int32_t> result;
  for (const int32_t old : of_row) {
    result.push_back(number[static_cast<size_t>(old)]);
  }
  return result;
}

// What the model keeps, of rows with their numbers already.
void CountTraining(const std::vector<int32_t>& train, Ratings::Parts& parts) {
  RatingIndex& index = parts.index;
  double sum = 0;
  index.lowest = index.highest = parts.values[static_cast<size_t>(train.front())];
  for (const int32_t row : train) {
    const double value = parts.values[static_cast<size_t>(row)];
    sum += value;
    index.lowest = std::min(index.lowest, value);
    index.highest = std::max(index.highest, value);
  }
  index.mean = sum / static_cast<double>(train.size());
  double squares = 0;
  std::vector<double> user_sums(index.users.size()), item_sums(index.items.size());
  std::vector<int64_t> user_counts(index.users.size());
  index.item_counts.assign(index.items.size(), 0);
  for (const int32_t row : train) {
    const auto r = static_cast<size_t>(row);
    const auto user = static_cast<size_t>(parts.users[r]);
    const auto item = static_cast<size_t>(parts.items[r]);
    const double distance = parts.values[r] - index.mean;
    squares += distance * distance;
    user_sums[user] += distance;
    item_sums[item] += distance;
    ++user_counts[user];
    ++index.item_counts[item];
  }
  for (size_t u = 0; u < user_sums.size(); ++u) {
    index.user_means.push_back(static_cast<float>(
        index.mean + user_sums[u] / (static_cast<double>(user_counts[u]) + kDrawn)));
  }
  for (size_t i = 0; i < item_sums.size(); ++i) {
    index.item_means.push_back(static_cast<float>(
        index.mean + item_sums[i] / (static_cast<double>(index.item_counts[i]) + kDrawn)));
  }
  const double deviation = std::sqrt(squares / static_cast<double>(train.size()));
  parts.target_mean = index.mean;
  parts.target_std = deviation > 1e-12 * std::abs(index.mean) && deviation > 0 ? deviation : 1;
  if (static_cast<int64_t>(train.size()) > kMostRemembered) {
    return;
  }
  std::vector<std::pair<int32_t, int32_t>> pairs;
  for (const int32_t row : train) {
    const auto r = static_cast<size_t>(row);
    pairs.emplace_back(parts.users[r], parts.items[r]);
  }
  std::ranges::sort(pairs);
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  index.rated_begin = {0};
  for (size_t p = 0, user = 0; user < index.users.size(); ++user) {
    for (; p < pairs.size() && pairs[p].first == static_cast<int32_t>(user); ++p) {
      index.rated.push_back(pairs[p].second);
    }
    index.rated_begin.push_back(static_cast<int64_t>(index.rated.size()));
  }
}

// Nothing can be learned of these.
absl::Status CheckVariety(const RatingRows& ratings, const LoadOptions& options) {
  for (const auto& [what, ids] :
       {std::pair{"user", &ratings.users}, std::pair{"item", &ratings.items}}) {
    if (ids->size() < 2) {
      return absl::InvalidArgumentError(absl::StrCat("all ", ratings.size(), " ratings are of one ",
                                                     what, ", '", CutUtf8(ids->front(), 40),
                                                     "'; recommendation needs at least two"));
    }
  }
  const auto [low, high] = std::ranges::minmax_element(ratings.values);
  if (options.ratings.values_count && *low == *high) {
    return absl::InvalidArgumentError(absl::StrCat(
        "all ", ratings.size(), " ratings are ", *low,
        "; where only who took what is known, recommendation.feedback must be IMPLICIT"));
  }
  return absl::OkStatus();
}

void SayWhatIsCold(const Ratings& data, const std::vector<int32_t>& rows, absl::string_view part,
                   DataReport& report) {
  const auto cold = std::ranges::count_if(rows, [&](int32_t row) { return data.is_cold(row); });
  if (cold > 0) {
    report.notes.push_back(absl::StrCat(
        cold, " of ", rows.size(), " ", part,
        " ratings are of users or items that the training part does not have: the mean of the "
        "side that it has is what they are answered with"));
  }
}

// Users and items by the numbers that the training part gives them.
void NumberByTraining(const std::vector<int32_t>& train, RatingRows& rows, Ratings::Parts& parts) {
  parts.users = Renumber(rows.users, rows.user_of, train, nullptr);
  parts.items = Renumber(rows.items, rows.item_of, train, &rows.item_names);
  parts.index.user_column = std::move(rows.user_column);
  parts.index.item_column = std::move(rows.item_column);
  parts.index.users = std::move(rows.users);
  parts.index.items = std::move(rows.items);
  parts.index.item_names = std::move(rows.item_names);
  CountTraining(train, parts);
}

// Users and items by a model's numbers, ratings by its mean and deviation.
absl::Status NumberByModel(const Preprocessing& model, const RatingRows& rows,
                           Ratings::Parts& parts) {
  HONE_ASSIGN_OR_RETURN(parts.index, RatingIndex::FromJson(model.own));
  std::vector<int32_t> users, items;
  for (const std::string& id : rows.users) {
    users.push_back(parts.index.FindUser(id));
  }
  for (const std::string& id : rows.items) {
    items.push_back(parts.index.FindItem(id));
  }
  for (size_t row = 0; row < rows.user_of.size(); ++row) {
    parts.users.push_back(users[static_cast<size_t>(rows.user_of[row])]);
    parts.items.push_back(items[static_cast<size_t>(rows.item_of[row])]);
  }
  parts.target_mean = model.target_mean.at(0);
  parts.target_std = model.target_std.at(0);
  return absl::OkStatus();
}

absl::StatusOr<LoadedData> Finish(RatingRows rows, const LoadOptions& options, DataReport report) {
  const std::string source = report.source;
  if (rows.size() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        source, ": the data set is empty: it needs at least two ratings",
        report.dropped.empty() ? "" : absl::StrCat("; left out: ", report.dropped[0].reason)));
  }
  if (rows.size() > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source, ": has ", rows.size(), " ratings; at most 2147483647 can be held"));
  }
  if (options.as == nullptr) {
    HONE_RETURN_IF_ERROR(Annotate(CheckVariety(rows, options), source));
  }
  const std::vector<bool> keep = DropCopies(rows, options.deduplicate, report);
  LoadedData data;
  absl::StatusOr<Splits> splits = SplitRatings(rows, keep, options);
  HONE_RETURN_IF_ERROR(Annotate(splits.status(), source));
  data.splits = *std::move(splits);
  if (data.splits.train.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source,
                     ": no rating is left to train on; test_fraction and "
                     "validation_fraction set the others aside"));
  }
  Ratings::Parts parts;
  parts.values = std::move(rows.values);
  parts.noise = std::move(rows.noise);
  if (options.as != nullptr) {
    HONE_RETURN_IF_ERROR(Annotate(NumberByModel(*options.as, rows, parts), source));
  } else {
    NumberByTraining(data.splits.train, rows, parts);
  }
  parts.seed = options.seed;
  data.preprocessing.input = Preprocessing::Input::kOwn;
  data.preprocessing.own_features = {Shape{2}, DType::kS32};
  data.preprocessing.own = parts.index.ToJson();
  data.preprocessing.target_names = {"rating"};
  data.preprocessing.target_mean = {parts.target_mean};
  data.preprocessing.target_std = {parts.target_std};
  const auto ratings = std::make_shared<const Ratings>(std::move(parts));
  CountSplits(data.splits, {}, 0, report);
  SayWhatIsCold(*ratings, data.splits.train, "training", report);
  SayWhatIsCold(*ratings, data.splits.validation, "validation", report);
  SayWhatIsCold(*ratings, data.splits.test, "test", report);
  report.notes.push_back(absl::StrCat(ratings->index().users.size(), " users and ",
                                      ratings->index().items.size(),
                                      " items have training ratings"));
  data.dataset = Dataset(ratings);
  data.report = std::move(report);
  data.fingerprint = Fingerprint(data);
  return data;
}

absl::StatusOr<LoadedData> LoadRatingsOrThrow(LoadOptions options) {
  HONE_RETURN_IF_ERROR(CheckSource(options));
  DataReport report;
  report.format = "ratings";
  report.source = options.path;
  if (!options.dataset.empty()) {
    HONE_ASSIGN_OR_RETURN(const CatalogEntry* entry, Find(options.dataset));
    if (entry->task != Task::kRecommendation) {
      std::vector<absl::string_view> names;
      for (const CatalogEntry& other : Catalog()) {
        if (other.task == Task::kRecommendation) {
          names.push_back(other.name);
        }
      }
      return absl::InvalidArgumentError(
          absl::StrCat("data set ", options.dataset,
                       " holds no ratings; these do: ", absl::StrJoin(names, ", ")));
    }
    HONE_ASSIGN_OR_RETURN(Materialised found, Materialise(*entry, options.sources));
    report.source = found.source;
    report.notes = found.notes;
    options.path = found.path;
    if (found.generated) {
      RatingRows rows = GenerateRatings({});
      report.examples_read = rows.size();
      if (options.ratings.at_least) {
        DropBelow(*options.ratings.at_least, rows, report);
      }
      return Finish(std::move(rows), options, std::move(report));
    }
  }
  HONE_ASSIGN_OR_RETURN(RatingRows rows, ReadRatings(options.path, options.ratings, report));
  if (options.as == nullptr && options.ratings.ids == RatingOptions::Ids::kAutomatic) {
    HONE_RETURN_IF_ERROR(Annotate(CheckSigns(rows), report.source));
  }
  return Finish(std::move(rows), options, std::move(report));
}

}  // namespace

absl::StatusOr<LoadedData> LoadRatings(const LoadOptions& options) {
  return WithinMemory(options, "the ratings", [&] { return LoadRatingsOrThrow(options); });
}

Ratings::Ratings(Parts parts) : parts_(std::move(parts)) {
  const uint64_t hashes[] = {HashOf(parts_.users), HashOf(parts_.items), HashOf(parts_.values)};
  content_hash_ = ContentHash(hashes, sizeof(hashes));
  rows_.reserve(parts_.values.size());
  for (size_t row = 0; row < parts_.values.size(); ++row) {
    const double target = (parts_.values[row] - parts_.target_mean) / parts_.target_std;
    rows_.push_back({parts_.users[row], parts_.items[row], static_cast<float>(target)});
  }
  parts_.users = {};
  parts_.items = {};
}

int64_t Ratings::bytes() const {
  const auto of_row =
      static_cast<int64_t>(sizeof(Row) + sizeof(float) + (knows_noise() ? sizeof(float) : 0));
  const auto of_name = static_cast<int64_t>(sizeof(std::string));
  const RatingIndex& index = parts_.index;
  return size() * of_row + static_cast<int64_t>(index.rated.size() * sizeof(int32_t)) +
         static_cast<int64_t>(index.users.size() + 2 * index.items.size()) * of_name;
}

}  // namespace hone::engine::data
