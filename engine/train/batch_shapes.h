#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/data/batches.h"
#include "engine/tasks/graphs.h"

namespace hone::engine::train {

// The shapes of the batches that occur in an epoch over `examples`, `batch` at a time: whole ones
// and the last short one, of each bucket. Without rows by bucket (a task without RowBuckets) any
// size may come in any of `buckets`.
std::vector<tasks::BatchShape> ShapesOf(int64_t examples,
                                        std::span<const data::BucketRows> by_bucket, int64_t batch,
                                        std::span<const int64_t> buckets);

}  // namespace hone::engine::train
