#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/data/spool.h"
#include "engine/tensor/tensor.h"

namespace hone::engine::data {

// What a data set is made of, before Dataset::Make has checked it.
struct DatasetParts {
  int64_t size = 0;       // examples
  TensorType features;    // of one example: u8[C, H, W] or f32[features]
  Buffer feature_values;  // [size, features], row major
  std::shared_ptr<const Spool> spooled_values = nullptr;  // instead: the same in a spool
  std::vector<std::string> feature_names;  // tables: one for each feature; else empty
  std::vector<std::string> class_names;    // classification: at least two; else empty
  std::vector<int32_t> labels;             // classification: [size], each below class_names.size()
  std::vector<std::string> target_names;   // regression: one for each target; else empty
  std::vector<float> targets;              // regression: [size, target_names]
};

// Examples in a form that only their task knows: texts, pairs, mazes. Immutable.
class OwnExamples {
 public:
  virtual ~OwnExamples() = default;
  virtual int64_t size() const = 0;   // examples, at most 2147483647
  virtual int64_t bytes() const = 0;  // in memory
  virtual uint64_t content_hash() const = 0;
};

// Examples, once: pictures as bytes in memory, tables as floats in memory or in a mapped file, each
// with a class or with target values. Immutable, so any number of threads may read it. Splits and
// batches are lists of its rows, never copies.
class Dataset {
 public:
  Dataset() = default;

  // INVALID_ARGUMENT where sizes or labels do not agree.
  static absl::StatusOr<Dataset> Make(DatasetParts parts);
  // Examples of a task's own, which alone can read them: there are no features and no targets.
  explicit Dataset(std::shared_ptr<const OwnExamples> own);
  // The same with classes or target values; of the parts only these count. INVALID_ARGUMENT where
  // they do not agree with the examples.
  static absl::StatusOr<Dataset> Make(std::shared_ptr<const OwnExamples> own, DatasetParts targets);

  int64_t size() const { return parts_.size; }
  // One example's features and target: s32[] for a class, f32[k] for values.
  const TensorType& features() const { return parts_.features; }
  TensorType target() const;
  bool has_classes() const { return !parts_.class_names.empty(); }
  int64_t classes() const { return static_cast<int64_t>(parts_.class_names.size()); }
  const std::vector<std::string>& class_names() const { return parts_.class_names; }
  const std::vector<std::string>& feature_names() const { return parts_.feature_names; }
  const std::vector<std::string>& target_names() const { return parts_.target_names; }

  // The features of one row, features().bytes() long.
  const uint8_t* example(int64_t row) const {
    const uint8_t* const values =
        parts_.spooled_values != nullptr
            ? reinterpret_cast<const uint8_t*>(parts_.spooled_values->bytes().data())
            : parts_.feature_values.as<uint8_t>();
    return values + row * parts_.features.bytes();
  }
  std::span<const int32_t> labels() const { return parts_.labels; }  // [size] or empty
  std::span<const float> targets() const { return parts_.targets; }  // [size, k] or empty
  // Null: pictures or a table.
  const OwnExamples* own() const { return own_.get(); }
  // All that it holds in memory.
  int64_t bytes() const;

  // Copies rows into a batch: features to [rows, features], targets to int32[rows] or float[rows,
  // k]. Either may be null. Allocates nothing.
  void Gather(std::span<const int32_t> rows, void* features, void* targets) const;

 private:
  static absl::Status CheckTargets(const DatasetParts& parts);

  DatasetParts parts_;
  std::shared_ptr<const OwnExamples> own_;
};

}  // namespace hone::engine::data
