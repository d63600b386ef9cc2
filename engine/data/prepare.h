#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/data/formats.h"
#include "engine/data/load.h"
#include "engine/data/report.h"

namespace hone::engine::data {

// INVALID_ARGUMENT unless one of `dataset` and `path` is given.
absl::Status CheckSource(const LoadOptions& options);

// INVALID_ARGUMENT where validation_fraction or test_fraction is none: 0 to below 1.
absl::Status CheckFractions(const LoadOptions& options);
// How many of all examples, points or ratings a fraction of them is: the nearest whole number.
int64_t CountOfFraction(double fraction, int64_t all);

// What finding copies needs to know of examples: rows [0, train_size) are the training part, the
// others the test part.
struct ExampleContents {
  int64_t size = 0;
  int64_t train_size = 0;
  absl::FunctionRef<uint64_t(int64_t row)> hash;  // of the features
  absl::FunctionRef<bool(int64_t a, int64_t b)> same_features;
  absl::FunctionRef<bool(int64_t a, int64_t b)> same_target;
  const std::vector<bool>* keep = nullptr;  // rows that are looked at; null for all
};

// Counts exact copies and contradictions into the report. With `drop`, copies leave the result: the
// later of two of the same part, the test one of two of different parts. Returns whether each row
// stays (never one that was not looked at).
std::vector<bool> FindCopies(const ExampleContents& examples, bool drop, DataReport& report);

// What `load` returns; RESOURCE_EXHAUSTED, with the data set's name, if there is too little memory
// for `what`
// ("the ratings").
absl::StatusOr<LoadedData> WithinMemory(const LoadOptions& options, absl::string_view what,
                                        absl::FunctionRef<absl::StatusOr<LoadedData>()> load);

// A hash of bytes, equal on every machine.
uint64_t ContentHash(const void* bytes, int64_t size);
template <typename T>
uint64_t HashOf(const std::vector<T>& values) {
  return ContentHash(values.data(), static_cast<int64_t>(values.size() * sizeof(T)));
}

// Leaves of pictures (with or without pixels) only those of `classes`, in their order of classes.
// INVALID_ARGUMENT names one that there is not, or that is named twice.
absl::Status KeepClasses(const std::vector<std::string>& classes, Examples& examples,
                         DataReport& report);

struct SplitRequest {
  int64_t size = 0;
  int64_t train_size = 0;           // as in ExampleContents; == size: there is no test part yet
  std::span<const int32_t> labels;  // of every row; empty for regression
  int64_t classes = 0;
  const std::vector<bool>* keep = nullptr;  // rows that take part; null for all
};

// Rows of train, validation and test: test rows are taken from the training part if there is no
// test part (test_fraction), or as one of fold_count parts that have each row of it once; then
// `limit` cuts the training part, then validation is taken from it. With labels every class is
// divided in the same proportion. Depends only on the arguments and options.seed.
// INVALID_ARGUMENT where a share is out of range or nothing would be left to train on.
absl::StatusOr<Splits> Split(const SplitRequest& request, const LoadOptions& options);

// Examples and class counts of every split, into the report.
void CountSplits(const Splits& splits, std::span<const int32_t> labels, int64_t classes,
                 DataReport& report);

}  // namespace hone::engine::data
