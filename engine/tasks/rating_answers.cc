#include "engine/tasks/rating_answers.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/data/rating_index.h"

namespace hone::engine::tasks {
namespace {

using data::RatingIndex;

// What an example holds: a user and an item, or a user and how many items are asked for; −1 stands
// for one that the model does not know.
constexpr char kUser[] = "user", kItem[] = "item", kTop[] = "top";
constexpr int kMostItems = 1000;

int32_t NumberIn(const Example& example, const char* name) {
  return std::get<std::vector<int32_t>>(example.at(name)).at(0);
}

Example PairOf(int32_t user, int32_t item) {
  return {{kUser, std::vector<int32_t>{user}}, {kItem, std::vector<int32_t>{item}}};
}

class RatingAnswerer final : public Answerer {
 public:
  RatingAnswerer(RatingIndex index, double mean, double std, bool implicit)
      : index_(std::move(index)), mean_(mean), std_(std), implicit_(implicit) {}

  absl::Status CheckOutputs(int64_t outputs) const override {
    return outputs == 1 ? absl::OkStatus()
                        : absl::InvalidArgumentError(absl::StrCat(
                              "the model has ", outputs, " outputs for a user and an item"));
  }

  absl::StatusOr<Example> Read(const Question& question, absl::string_view name) const override {
    if (const auto* user = std::get_if<UserQuestion>(&question)) {
      const int top = user->top == 0 ? kDefaultItems : user->top;
      if (user->id.empty() || top < 1 || top > kMostItems) {
        return absl::InvalidArgumentError(absl::StrCat(
            name, ": must have a user's id, and ask for 1 to ", kMostItems, " items, got ", top));
      }
      return Example{{kUser, std::vector<int32_t>{index_.FindUser(user->id)}},
                     {kTop, std::vector<int32_t>{top}}};
    }
    if (const auto* record = std::get_if<RecordQuestion>(&question)) {
      const auto user = record->cells.find(index_.user_column);
      const auto item = record->cells.find(index_.item_column);
      if (user == record->cells.end() || item == record->cells.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat(name, ": must have the columns '", index_.user_column, "' and '",
                         index_.item_column, "', as the ratings had"));
      }
      return PairOf(index_.FindUser(user->second), index_.FindItem(item->second));
    }
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": the model recommends items to a user, or rates a user and an item; ",
                     "it does not read ", NameOf(question)));
  }

  // Pairs of users and items; what is not known is not asked of the model.
  absl::StatusOr<std::vector<Prediction>> Answer(std::span<const Example> examples,
                                                 RunExamples run) const override {
    std::vector<Example> pairs;
    const auto items = static_cast<int32_t>(index_.items.size());
    for (const Example& example : examples) {
      const int32_t user = NumberIn(example, kUser);
      const bool is_pair = example.contains(kItem);
      const int32_t item = is_pair ? NumberIn(example, kItem) : 0;
      for (int32_t i = 0; user >= 0 && !is_pair && i < items; ++i) {
        pairs.push_back(PairOf(user, i));
      }
      if (is_pair && user >= 0 && item >= 0) {
        pairs.push_back(example);
      }
    }
    std::vector<std::vector<float>> outputs;
    if (!pairs.empty()) {
      HONE_ASSIGN_OR_RETURN(outputs, run(pairs));
    }
    std::vector<Prediction> predictions;
    size_t next = 0;
    for (const Example& example : examples) {
      const int32_t user = NumberIn(example, kUser);
      if (example.contains(kItem)) {
        const int32_t item = NumberIn(example, kItem);
        const bool known = user >= 0 && item >= 0;
        predictions.emplace_back().values = {known ? OnScale(Unit(outputs[next][0]))
                                                   : Guess(user, item)};
        next += known ? 1 : 0;
        continue;
      }
      std::vector<double> scores;
      for (int32_t item = 0; item < items; ++item) {
        scores.push_back(user >= 0 ? Unit(outputs[next++][0]) : Guess(-1, item));
      }
      predictions.push_back(Best(user, scores, NumberIn(example, kTop)));
    }
    return predictions;
  }

 private:
  static constexpr int kDefaultItems = 10;

  double Unit(float output) const { return implicit_ ? output : output * std_ + mean_; }
  // No rating is beyond what ratings are: those of the training tell it.
  double OnScale(double rating) const {
    return implicit_ ? rating : std::clamp(rating, index_.lowest, index_.highest);
  }
  // Without a rating to guess, how often an item was taken.
  double Guess(int32_t user, int32_t item) const {
    if (!implicit_) {
      return index_.Guess(user, item);
    }
    return item >= 0 ? index_.item_counts[static_cast<size_t>(item)] : 0;
  }

  // What the user has rated stands behind all else; among equals the first in the index's order.
  // What would be beyond the scale keeps its place among the others.
  Prediction Best(int32_t user, const std::vector<double>& scores, int top) const {
    std::vector<int32_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    std::vector<bool> rated(scores.size());
    for (const int32_t item : index_.RatedBy(user)) {
      rated[static_cast<size_t>(item)] = true;
    }
    const auto key = [&](int32_t item) {
      const auto i = static_cast<size_t>(item);
      return std::pair(static_cast<bool>(rated[i]), -scores[i]);
    };
    std::ranges::stable_sort(order, {}, key);
    Prediction prediction;
    prediction.unknown_user = user < 0;
    for (size_t i = 0; i < std::min(order.size(), static_cast<size_t>(top)); ++i) {
      const auto item = static_cast<size_t>(order[i]);
      prediction.items.push_back({.id = index_.items[item],
                                  .name = index_.item_names.empty() ? "" : index_.item_names[item],
                                  .score = OnScale(scores[item]),
                                  .rated = rated[item]});
    }
    return prediction;
  }

  const RatingIndex index_;
  const double mean_, std_;
  const bool implicit_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Answerer>> NewRatingAnswerer(
    const data::Preprocessing& preprocessing, bool implicit) {
  HONE_ASSIGN_OR_RETURN(RatingIndex index, RatingIndex::FromJson(preprocessing.own));
  if (preprocessing.target_mean.size() != 1) {
    return absl::InvalidArgumentError("ratings: the model must say the mean of its one target");
  }
  return std::make_unique<RatingAnswerer>(std::move(index), preprocessing.target_mean[0],
                                          preprocessing.target_std[0], implicit);
}

}  // namespace hone::engine::tasks
