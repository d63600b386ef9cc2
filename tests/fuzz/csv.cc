// A table, of examples, in pieces and not, of ratings and of a series, with and without a header
// that can be believed.

#include "engine/data/load.h"
#include "engine/data/ratings.h"
#include "engine/data/series.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hone;  // NOLINT
  static const fuzz::Folder folder;
  engine::data::LoadOptions options;
  options.path = folder.Write("table.csv", fuzz::Text(data, size));
  options.max_bytes = int64_t{64} << 20;
  for (const auto task : {engine::data::Task::kClassification, engine::data::Task::kRegression}) {
    options.task = task;
    options.deduplicate = task == engine::data::Task::kRegression;
    engine::data::Load(options).status().IgnoreError();
    options.stream = {.folder = folder.path(), .memory_bytes = 16, .piece_bytes = 5};
  }
  options.task = engine::data::Task::kRecommendation;
  using Ids = engine::data::RatingOptions::Ids;
  options.ratings.split = engine::data::RatingOptions::Split::kLeaveOneOut;
  for (const Ids ids : {Ids::kNumbers, Ids::kAutomatic}) {
    options.ratings.ids = ids;
    const auto ratings = engine::data::LoadRatings(options);
    if (ratings.ok()) {
      engine::data::RatingIndex::FromJson(ratings->preprocessing.own).status().IgnoreError();
    }
  }
  options.task = engine::data::Task::kForecasting;
  options.deduplicate = false;
  options.series = {.window = 2, .horizon = 1};
  const auto series = engine::data::LoadSeries(options);
  if (series.ok()) {
    engine::data::SeriesFormat::FromJson(series->preprocessing.own).status().IgnoreError();
  }
  return 0;
}
