#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/optim/schedule.h"

namespace hone::engine::checkpoint {

// A line of the training history, such as {"loss": 0.3, "validation_accuracy": 0.98}.
struct HistoryPoint {
  int64_t step = 0;
  double epoch = 0;
  std::map<std::string, double> values = {};
  friend bool operator==(const HistoryPoint&, const HistoryPoint&) = default;
};

struct BestMetric {
  std::string name;
  double value = 0;
  int64_t step = 0;  // of the checkpoint that reached it
  friend bool operator==(const BestMetric&, const BestMetric&) = default;
};

// Everything beside weights and optimizer state that a run needs to go on as if it had never
// stopped. Random numbers need nothing but the seed: they are keyed by position. No clock, host or
// attempt.
struct RunState {
  int64_t step = 0;           // updates made
  int64_t epoch = 0;          // epochs completed
  int64_t data_position = 0;  // examples of this epoch consumed (not prefetched)
  uint64_t seed = 0;
  std::string data_fingerprint = {};  // of what it learns from; empty: not known
  // What its bits depend on beside all this, "2 threads, f32, AVX-512"; empty: not known.
  std::string arithmetic = {};
  optim::PlateauState plateau = {};
  std::optional<BestMetric> best = {};
  int64_t epochs_without_improvement = 0;  // for early stopping
  std::vector<HistoryPoint> history = {};
  std::map<std::string, double> scalars = {};  // a task's own numbers: an epsilon, a running sum
  std::map<std::string, std::string> sections =
      {};  // a task's own bytes, any bytes: a replay buffer
  friend bool operator==(const RunState&, const RunState&) = default;
};

// JSON with sorted keys; the same state gives the same bytes. Doubles come back bit by bit,
// infinities and NaN too. Sections of more than `largest_section` bytes are left out, for a file of
// their own.
std::string ToJson(const RunState& state,
                   size_t largest_section = std::numeric_limits<size_t>::max());

// INVALID_ARGUMENT names the field and what it should be. Keys that are not known are an error:
// another version wrote it.
absl::StatusOr<RunState> RunStateFromJson(absl::string_view json);

}  // namespace hone::engine::checkpoint
