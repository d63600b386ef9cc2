#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/dataset.h"
#include "engine/data/load.h"
#include "engine/data/series_format.h"

namespace hone::engine::data {

// A series as examples: each is a window of points and the `horizon` values of the target behind
// it. The points are in memory once, however many windows hold them.
class Series final : public OwnExamples {
 public:
  struct Parts {
    SeriesFormat format;
    std::vector<double> values;  // [points, columns] in their own units, row major
    // Of each example the first point that is forecast: max(window, period) points are before it,
    // and horizon − 1 behind.
    std::vector<int32_t> first;
  };
  explicit Series(Parts parts);

  int64_t size() const override { return static_cast<int64_t>(parts_.first.size()); }
  int64_t bytes() const override;
  uint64_t content_hash() const override { return content_hash_; }

  const SeriesFormat& format() const { return parts_.format; }
  int64_t first(int32_t row) const { return parts_.first[static_cast<size_t>(row)]; }
  // The target at a point, in its own unit.
  double value(int64_t point) const {
    return parts_.values[static_cast<size_t>(point) * parts_.format.columns.size()];
  }
  // The window, [window, columns], scaled.
  std::span<const float> window(int32_t row) const;
  // What the model's numbers of an example are added to, in the scale of its numbers.
  double base(int32_t row, int64_t ahead) const;
  // What the model shall say: the scaled target, less the base.
  float target(int32_t row, int64_t ahead) const;

 private:
  double scaled(int64_t point) const {
    return scaled_[static_cast<size_t>(point) * parts_.format.columns.size()];
  }

  Parts parts_;
  std::vector<float> scaled_;  // [points, columns]
  uint64_t content_hash_ = 0;
};

// Of a data set that LoadSeries made.
inline const Series& SeriesOf(const Dataset& dataset) {
  return static_cast<const Series&>(*dataset.own());
}

// Reads a series (series_rows.h) from a table, or from the catalogue, and divides it in the order
// of time: its last points are the test part, those before them validate, the others train. An
// example belongs to the part that has all of its targets; those whose targets would lie on both
// sides of a cut are left out. Its window may begin in an earlier part: what was known before is
// what a forecast is made of. Scaling and the unit of MASE are measured on the training part alone.
// The first example of a part forecasts the part's first points, the next is `step` points behind.
//
// The result's dataset is a Series, its preprocessing kOwn with a SeriesFormat. Where a model reads
// the series (options.as), all but `step` is the model's. Errors of Load; INVALID_ARGUMENT also
// where a part is too short for a window and a horizon, and for a column that does not change in
// the training part.
absl::StatusOr<LoadedData> LoadSeries(const LoadOptions& options);

}  // namespace hone::engine::data
