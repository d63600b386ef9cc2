#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/data/spool.h"
#include "engine/tensor/tensor.h"

namespace hone::engine::train {

// What a frozen trunk gives for examples of a data set, for the whole run. Up to kMemoryBytes lie
// in memory; more in a file without a name that is mapped (data::Spool): its pages are the system's
// to drop and to read again. Not thread-safe until Finish, then immutable.
class TrunkFeatures {
 public:
  static constexpr int64_t kMemoryBytes = int64_t{32} << 20;

  struct Options {
    int64_t numbers = 0;   // of an example
    int64_t examples = 0;  // that will be added
    int64_t rows = 0;      // of the data set
    std::string folder;    // where the file is made; "": nowhere, and all stays in memory
  };
  explicit TrunkFeatures(const Options& options);

  // `features` f32 [rows, numbers], row major. Each row once. RESOURCE_EXHAUSTED: the disk is full;
  // else errors of data::Spool.
  absl::Status Add(std::span<const int32_t> rows, const float* features);
  // When all are added.
  absl::Status Finish();

  // Those of all of these rows are there.
  bool Holds(std::span<const int32_t> rows) const;
  // Copies them to `out` [rows, numbers]. Allocates nothing.
  void Gather(std::span<const int32_t> rows, float* out) const;
  int64_t numbers() const { return options_.numbers; }

  // Of `bytes` of features, what is in memory and not in the file.
  static int64_t InMemory(int64_t bytes) { return bytes > kMemoryBytes ? 0 : bytes; }

 private:
  Options options_;
  std::vector<int32_t> place_;  // of each row of the data set among those added; −1: it is not
  int32_t added_ = 0;
  Buffer memory_;                    // of one of the two
  std::optional<data::Spool> file_;  // in memory, too, where there is no folder
  const float* values_ = nullptr;    // of all, once they are there
};

}  // namespace hone::engine::train
