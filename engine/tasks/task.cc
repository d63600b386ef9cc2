#include "engine/tasks/task.h"

#include <nlohmann/json.hpp>
#include <string>

namespace hone::engine::tasks {

absl::StatusOr<Evaluation> Task::Evaluate(const EvaluationContext& context) const {
  return context.programs.EvaluateRows(*this, context);
}

nlohmann::json Task::ToJson() const { return {{"kind", std::string(name())}}; }

}  // namespace hone::engine::tasks
