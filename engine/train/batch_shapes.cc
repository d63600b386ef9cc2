#include "engine/train/batch_shapes.h"

namespace hone::engine::train {
namespace {

// The batch sizes that occur when `examples` are taken `batch` at a time.
std::vector<int64_t> BatchSizes(int64_t examples, int64_t batch) {
  std::vector<int64_t> sizes;
  if (examples >= batch) {
    sizes.push_back(batch);
  }
  if (examples % batch != 0) {
    sizes.push_back(examples % batch);
  }
  return sizes;
}

}  // namespace

std::vector<tasks::BatchShape> ShapesOf(int64_t examples,
                                        std::span<const data::BucketRows> by_bucket, int64_t batch,
                                        std::span<const int64_t> buckets) {
  std::vector<tasks::BatchShape> shapes;
  for (const data::BucketRows& rows : by_bucket) {
    for (const int64_t size : BatchSizes(rows.rows, batch)) {
      shapes.push_back({size, rows.bucket});
    }
  }
  if (by_bucket.empty()) {
    for (const int64_t size : BatchSizes(examples, batch)) {
      for (const int64_t bucket : buckets) {
        shapes.push_back({size, bucket});
      }
    }
  }
  return shapes;
}

}  // namespace hone::engine::train
