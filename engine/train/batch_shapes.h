#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/data/batches.h"
#include "engine/tasks/data_info.h"

namespace hone::engine::train {

// Examples that batches are made of, and what is known of these (tasks::DataInfo).
struct ExamplesInfo {
  int64_t examples = 0;
  std::span<const data::BucketRows> by_bucket = {};
  std::span<const tasks::ShapeCount> shapes = {};
};
// Where batches of the training are computed in so many parts, 1 or those of train_in_parts.
ExamplesInfo TrainingExamples(const tasks::DataInfo& info, int parts);
ExamplesInfo ValidationExamples(const tasks::DataInfo& info);
ExamplesInfo TestExamples(const tasks::DataInfo& info);
// Those of the training as evaluation programs take them.
ExamplesInfo EvaluatedTrainingExamples(const tasks::DataInfo& info);

// The shapes of the batches that occur: those that were counted. Else, in an epoch of `batch`
// examples at a time: whole ones and the last short one, of each bucket. Without rows by bucket (a
// task without RowBuckets) any size may come in any of `buckets`.
std::vector<tasks::BatchShape> ShapesOf(const ExamplesInfo& info, int64_t batch,
                                        std::span<const int64_t> buckets);

// How often a run has batches of each shape to evaluate, of a task whose shapes were counted: those
// of the validation part `validations` times, those of the test part once. Where the evaluation
// programs are run over the training part (`of_training`), they are run over all parts once more,
// before the first step.
struct EvaluatedShape {
  tasks::BatchShape shape;
  double batches = 0;
};
std::vector<EvaluatedShape> EvaluatedShapes(const tasks::DataInfo& info, double validations,
                                            bool of_training);

// The examples of an epoch by bucket, by the row's; of shapes that were counted, those of the whole
// batches of the run. Without either, all of an epoch are in the largest of `buckets`.
std::vector<data::BucketRows> RowsByBucket(const ExamplesInfo& info,
                                           std::span<const int64_t> buckets);

}  // namespace hone::engine::train
