#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/dataset.h"
#include "engine/data/load.h"

namespace hone::engine::data {

// The order of ids: whole numbers by their size, then words by their letters.
bool IdIsBefore(absl::string_view a, absl::string_view b);

// Ratings as they were read: row r says what user users[r] gave to item items[r].
struct RatingRows {
  std::string path;  // for errors
  std::string user_column = "user";
  std::string item_column = "item";
  std::vector<std::string> users;  // ids, each once, in the order in which they come
  std::vector<std::string> items;
  std::vector<std::string> item_names;  // of the items; "" where it is not known
  std::vector<int32_t> user_of;         // [size] into users
  std::vector<int32_t> item_of;         // [size] into items
  std::vector<float> values;            // [size]
  std::vector<double> times;            // [size], larger is later; or empty
  std::vector<float> noise;             // [size] of generated ratings: the part that is chance
  std::vector<int64_t> lines;           // [size], where each stands in its file; or empty

  int64_t size() const { return static_cast<int64_t>(values.size()); }
};

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

// A data set of ratings: rows by the numbers of the index.
class Ratings final : public OwnExamples {
 public:
  struct Parts {
    RatingIndex index;
    std::vector<int32_t> users;  // of each row, −1: not in the index
    std::vector<int32_t> items;
    std::vector<float> values;
    std::vector<float> noise;  // or empty
    double target_mean = 0;    // of the training part
    double target_std = 1;
    uint64_t seed = 1;  // of what is drawn for these rows
  };
  // The parts agree in size.
  explicit Ratings(Parts parts);

  int64_t size() const override { return static_cast<int64_t>(parts_.values.size()); }
  int64_t bytes() const override;
  uint64_t content_hash() const override;

  const RatingIndex& index() const { return parts_.index; }
  int32_t user(int32_t row) const { return parts_.users[static_cast<size_t>(row)]; }
  int32_t item(int32_t row) const { return parts_.items[static_cast<size_t>(row)]; }
  float value(int32_t row) const { return parts_.values[static_cast<size_t>(row)]; }
  // (value − mean) ÷ deviation of the training part.
  float target(int32_t row) const { return targets_[static_cast<size_t>(row)]; }
  uint64_t seed() const { return parts_.seed; }
  bool is_cold(int32_t row) const { return user(row) < 0 || item(row) < 0; }
  // Where the noise is known: what no model can be better than in the root mean square.
  bool knows_noise() const { return !parts_.noise.empty(); }
  float noise(int32_t row) const { return parts_.noise[static_cast<size_t>(row)]; }

 private:
  Parts parts_;
  std::vector<float> targets_;
};

// Reads, cleans, numbers and splits ratings: a table (csv.h), a MovieLens archive as GroupLens
// publishes it, or a set of the catalogue. The result's dataset is a Ratings, its preprocessing
// kOwn with a RatingIndex. Errors of Load; INVALID_ARGUMENT also for what nothing can be learned
// from: one user, one item, or, where their values are learned, ratings that are all equal.
absl::StatusOr<LoadedData> LoadRatings(const LoadOptions& options);

// The rows alone, without the options' limits and splits. `report` is told what was left out.
absl::StatusOr<RatingRows> ReadRatings(const std::string& path, const RatingOptions& options,
                                       DataReport& report);

}  // namespace hone::engine::data
