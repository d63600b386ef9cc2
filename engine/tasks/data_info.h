#pragma once

#include <string>
#include <vector>

#include "engine/data/batches.h"
#include "engine/data/load.h"

namespace hone::engine::tasks {

// What a program is compiled for: so many examples and, where their extents vary (sequences), a
// bucket of the task, such as the rows of tokens that they have together, or the length that they
// are padded to; 0 where they do not.
struct BatchShape {
  int64_t batch = 0;
  int64_t bucket = 0;
  friend auto operator<=>(const BatchShape&, const BatchShape&) = default;
};

// How many buckets a task may name: it gets a program for each, whether it comes or not.
inline constexpr size_t kMostBuckets = 8;

// A shape that occurs, in so many batches.
struct ShapeCount {
  BatchShape shape;
  int64_t batches = 0;
  friend bool operator==(const ShapeCount&, const ShapeCount&) = default;
};

// Shapes of batches that are computed in parts of equally many examples, where they can be shared
// out so: the bucket is then `parts` times that of the part which needs the most. 1 part, and no
// shapes: parts would differ by so much that more than a 16th of all rows were planned for in vain.
struct ShapesInParts {
  int parts = 1;
  std::vector<ShapeCount> shapes = {};
};

// Tokens of a language model's examples; 0: they have none.
struct TokenCounts {
  int64_t read = 0;
  int64_t learned = 0;  // of these, those whose next token is learned

  friend bool operator==(const TokenCounts&, const TokenCounts&) = default;
};

// What the programs must know of a data set: shapes, names and counts, no examples.
struct DataInfo {
  data::Preprocessing preprocessing;
  TensorType features;  // of one example: u8[C, H, W], f32[features] or the task's own
  int64_t train = 0;    // examples
  int64_t validation = 0;
  int64_t test = 0;
  int64_t bytes = 0;          // in memory
  int64_t loading_bytes = 0;  // at most while it is brought there

  // Of texts: tokens of the longest one of any part, as cut. 0: not known.
  int64_t longest = 0;
  // Of pairs of texts: each has a hard negative (data/text_pairs.h).
  bool triples = false;
  // Of the training part, as TaskExamples::CountTokens has them.
  TokenCounts train_tokens = {};

  // Of a task with RowBuckets: the examples by bucket; else empty.
  std::vector<data::BucketRows> train_buckets = {};
  std::vector<data::BucketRows> validation_buckets = {};
  std::vector<data::BucketRows> test_buckets = {};

  // Of a task that names no buckets: the shapes that occur, ascending; else empty. Those of the
  // training are counted over all epochs of the run.
  std::vector<ShapeCount> train_shapes = {};
  std::vector<ShapeCount> validation_shapes = {};
  std::vector<ShapeCount> test_shapes = {};
  // The training's where threads compute its batches in parts (TaskExamples::RowTokens).
  ShapesInParts train_in_parts = {};
  // Of a task whose evaluation programs are run over the training part, too.
  std::vector<ShapeCount> evaluated_train_shapes = {};
  // What its state keeps of them (TaskExamples::kept_bytes_per_row), of all examples together.
  int64_t kept_bytes = 0;

  int64_t classes() const { return static_cast<int64_t>(preprocessing.class_names.size()); }
  int64_t targets() const { return static_cast<int64_t>(preprocessing.target_names.size()); }
};

DataInfo InfoOf(const data::LoadedData& loaded);
// The same without reading the examples. Means and deviations are not known then: 0 and 1 stand in
// for them.
DataInfo InfoOf(const data::DataSummary& summary, const data::LoadOptions& options);

}  // namespace hone::engine::tasks
