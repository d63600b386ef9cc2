#pragma once

#include <string>
#include <vector>

#include "engine/data/batches.h"
#include "engine/data/load.h"

namespace hone::engine::tasks {

// What the programs must know of a data set: shapes, names and counts, no examples.
struct DataInfo {
  data::Preprocessing preprocessing;
  TensorType features;  // of one example: u8[C, H, W], f32[features] or the task's own
  int64_t train = 0;    // examples
  int64_t validation = 0;
  int64_t test = 0;
  int64_t bytes = 0;          // in memory
  int64_t loading_bytes = 0;  // at most while it is brought there

  // Of a task with RowBuckets: the examples by bucket; else empty.
  std::vector<data::BucketRows> train_buckets = {};
  std::vector<data::BucketRows> validation_buckets = {};
  std::vector<data::BucketRows> test_buckets = {};

  int64_t classes() const { return static_cast<int64_t>(preprocessing.class_names.size()); }
  int64_t targets() const { return static_cast<int64_t>(preprocessing.target_names.size()); }
};

DataInfo InfoOf(const data::LoadedData& loaded);
// The same without reading the examples. Means and deviations are not known then: 0 and 1 stand in
// for them.
DataInfo InfoOf(const data::DataSummary& summary, const data::LoadOptions& options);

}  // namespace hone::engine::tasks
