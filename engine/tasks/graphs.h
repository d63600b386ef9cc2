#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/models/build.h"
#include "engine/plan/replicas.h"
#include "engine/tasks/data_info.h"

namespace hone::engine::tasks {

// What a program is compiled for: so many examples and, where their extents vary (sequences), a
// bucket of the task, such as the length that they are padded to; 0 where they do not.
struct BatchShape {
  int64_t batch = 0;
  int64_t bucket = 0;
  friend auto operator<=>(const BatchShape&, const BatchShape&) = default;
};

// Each costs a program.
inline constexpr size_t kMostBuckets = 8;

// A program that a task runs itself, beside those of the losses: "act", "decode".
struct ForwardSpec {
  std::string name;
  BatchShape shape;
};

// A graph with what was found on the way.
struct TaskGraph {
  BuiltGraph built;
  models::BuiltModel model;
};

// The values that a loss fetches, in this order. A task's own may follow.
inline constexpr int kFetchLossSum = 0;
inline constexpr int kFetchLossWeight = 1;
inline constexpr int kFetchCorrect = 2;  // 0 for regression: the builder fetches a constant
// An evaluation fetches the model's output behind them.
inline constexpr int kFetchOutput = 3;

inline constexpr char kFeaturesInput[] = "features";

// The input "features" [batch, …], pictures made numbers.
Value FeaturesInput(Graph& graph, const DataInfo& info, int64_t batch);

}  // namespace hone::engine::tasks
