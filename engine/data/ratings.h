#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/dataset.h"
#include "engine/data/load.h"
#include "engine/data/rating_index.h"

namespace hone::engine::data {

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
  // What a batch is filled with, side by side: rows are read in an order of chance.
  struct Row {
    int32_t user;  // −1: not in the index
    int32_t item;
    float target;  // (value − mean) ÷ deviation of the training part
  };
  // The parts agree in size.
  explicit Ratings(Parts parts);

  int64_t size() const override { return static_cast<int64_t>(parts_.values.size()); }
  int64_t bytes() const override;
  uint64_t content_hash() const override { return content_hash_; }

  const RatingIndex& index() const { return parts_.index; }
  const Row& row(int32_t row) const { return rows_[static_cast<size_t>(row)]; }
  int32_t user(int32_t row) const { return rows_[static_cast<size_t>(row)].user; }
  int32_t item(int32_t row) const { return rows_[static_cast<size_t>(row)].item; }
  float value(int32_t row) const { return parts_.values[static_cast<size_t>(row)]; }
  uint64_t seed() const { return parts_.seed; }
  bool is_cold(int32_t row) const { return user(row) < 0 || item(row) < 0; }
  // Where the noise is known: what no model can be better than in the root mean square.
  bool knows_noise() const { return !parts_.noise.empty(); }
  float noise(int32_t row) const { return parts_.noise[static_cast<size_t>(row)]; }

 private:
  Parts parts_;  // without users and items
  std::vector<Row> rows_;
  uint64_t content_hash_ = 0;
};

// Reads, cleans, numbers and splits ratings: a table (csv.h), a MovieLens archive as GroupLens
// publishes it, or a set of the catalogue. The result's dataset is a Ratings, its preprocessing
// kOwn with a RatingIndex. Errors of Load; INVALID_ARGUMENT also for what nothing can be learned
// from: one user, one item, or, where their values are learned, ratings that are all equal.
absl::StatusOr<LoadedData> LoadRatings(const LoadOptions& options);

}  // namespace hone::engine::data
