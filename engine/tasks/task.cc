#include "engine/tasks/task.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

namespace hone::engine::tasks {

absl::StatusOr<Evaluation> Task::Evaluate(const EvaluationContext& context) const {
  return context.programs.EvaluateRows(*this, context);
}

int64_t Task::evaluation_batch(const TrainingConfig& config) const {
  // Large enough that a batch is worth its overhead, small enough that its values are no burden. Of
  // training batches below the least, evaluation is what the arena is made for.
  constexpr int64_t kLeast = 64, kMost = 256;
  return std::clamp(config.batch_size, kLeast, kMost);
}

nlohmann::json Task::ToJson() const { return {{"kind", std::string(name())}}; }

}  // namespace hone::engine::tasks
