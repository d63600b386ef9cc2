#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::engine::data {

// The order of ids: whole numbers by their size, then words by their letters.
bool IdIsBefore(absl::string_view a, absl::string_view b);

// What a model of ratings keeps of the training part: users and items are numbered in the order of
// their ids, numbers by their size and before words, and those that only other parts have are not
// among them.
struct RatingIndex {
  std::string user_column;  // what the table called them
  std::string item_column;
  std::vector<std::string> users;  // ids by number
  std::vector<std::string> items;
  std::vector<std::string> item_names;  // by number; empty: they have none
  double mean = 0;                      // of all ratings
  // The scale: between these are all of them. Without ends where a model of an earlier version does
  // not say.
  double lowest = -std::numeric_limits<double>::infinity();
  double highest = std::numeric_limits<double>::infinity();
  // The means of each user's and each item's ratings, drawn towards the mean of all as if they had
  // five more ratings of that: what is said of somebody, or of something, that is known while the
  // other side is not.
  std::vector<float> user_means;
  std::vector<float> item_means;
  std::vector<int32_t> item_counts;  // ratings of each item
  // The items that a user has rated, ascending, all users one after another: those of user u are
  // [rated_begin[u], rated_begin[u + 1]). rated_begin is empty where they are too many to keep.
  std::vector<int64_t> rated_begin;
  std::vector<int32_t> rated;

  // −1: not known.
  int32_t FindUser(absl::string_view id) const { return Find(users, id); }
  int32_t FindItem(absl::string_view id) const { return Find(items, id); }
  std::span<const int32_t> RatedBy(int32_t user) const;
  bool HasRated(int32_t user, int32_t item) const;
  // The best guess without a model, of a user or an item that is −1.
  double Guess(int32_t user, int32_t item) const;

  // As Preprocessing::own keeps it. INVALID_ARGUMENT names what does not fit.
  std::string ToJson() const;
  static absl::StatusOr<RatingIndex> FromJson(const std::string& text);
  // users and items alone.
  struct Sizes {
    int64_t users = 0;
    int64_t items = 0;
  };
  static absl::StatusOr<Sizes> SizesOf(const std::string& text);

 private:
  static int32_t Find(const std::vector<std::string>& ids, absl::string_view id);
};

}  // namespace hone::engine::data
