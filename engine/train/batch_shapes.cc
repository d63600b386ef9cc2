#include "engine/train/batch_shapes.h"

#include <algorithm>
#include <map>
#include <utility>

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

ExamplesInfo TrainingExamples(const tasks::DataInfo& info, int parts) {
  return {info.train, info.train_buckets,
          parts > 1 ? info.train_in_parts.shapes : info.train_shapes};
}
ExamplesInfo ValidationExamples(const tasks::DataInfo& info) {
  return {info.validation, info.validation_buckets, info.validation_shapes};
}
ExamplesInfo TestExamples(const tasks::DataInfo& info) {
  return {info.test, info.test_buckets, info.test_shapes};
}
ExamplesInfo EvaluatedTrainingExamples(const tasks::DataInfo& info) {
  return {info.train, info.train_buckets, info.evaluated_train_shapes};
}

std::vector<tasks::BatchShape> ShapesOf(const ExamplesInfo& info, int64_t batch,
                                        std::span<const int64_t> buckets) {
  std::vector<tasks::BatchShape> shapes;
  for (const tasks::ShapeCount& counted : info.shapes) {
    shapes.push_back(counted.shape);
  }
  if (!shapes.empty()) {
    return shapes;
  }
  for (const data::BucketRows& rows : info.by_bucket) {
    for (const int64_t size : BatchSizes(rows.rows, batch)) {
      shapes.push_back({size, rows.bucket});
    }
  }
  if (info.by_bucket.empty()) {
    for (const int64_t size : BatchSizes(info.examples, batch)) {
      for (const int64_t bucket : buckets) {
        shapes.push_back({size, bucket});
      }
    }
  }
  return shapes;
}

std::vector<EvaluatedShape> EvaluatedShapes(const tasks::DataInfo& info, double validations,
                                            bool of_training) {
  const double before = of_training ? 1 : 0;
  std::map<tasks::BatchShape, double> batches;
  for (const auto& [shapes, times] : {std::pair(&info.validation_shapes, validations + before),
                                      std::pair(&info.test_shapes, 1 + before),
                                      std::pair(&info.evaluated_train_shapes, before)}) {
    for (const tasks::ShapeCount& counted : *shapes) {
      batches[counted.shape] += times * static_cast<double>(counted.batches);
    }
  }
  std::vector<EvaluatedShape> evaluated;
  for (const auto& [shape, count] : batches) {
    evaluated.push_back({shape, count});
  }
  return evaluated;
}

std::vector<data::BucketRows> RowsByBucket(const ExamplesInfo& info,
                                           std::span<const int64_t> buckets) {
  if (!info.by_bucket.empty()) {
    return {info.by_bucket.begin(), info.by_bucket.end()};
  }
  if (info.shapes.empty()) {
    return {{*std::ranges::max_element(buckets), info.examples}};
  }
  const int64_t whole = info.shapes.back().shape.batch;  // they ascend
  if (whole == info.examples) {                          // an epoch is one batch
    return {{info.shapes.back().shape.bucket, info.examples}};
  }
  std::vector<data::BucketRows> rows;
  for (const tasks::ShapeCount& counted : info.shapes) {
    if (counted.shape.batch == whole) {
      rows.push_back({counted.shape.bucket, counted.batches * whole});
    }
  }
  return rows;
}

}  // namespace hone::engine::train
