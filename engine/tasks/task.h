#pragma once

#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tasks/evaluation.h"
#include "engine/tasks/examples.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/model.h"
#include "engine/tasks/run.h"
#include "engine/tasks/task_programs.h"

namespace hone::engine::tasks {

// What tells one task from another, in its parts. Immutable.
class Task : public TaskExamples,
             public TaskGraphs,
             public TaskRun,
             public TaskEvaluation,
             public TaskModel {
 public:
  virtual absl::string_view name() const = 0;  // "classification"

  // The evaluation programs over all rows, and what NewScorer makes of their outputs.
  absl::StatusOr<Evaluation> Evaluate(const EvaluationContext& context) const override;
  // That of the training, 64 at least and 256 at most.
  int64_t evaluation_batch(const TrainingConfig& config) const override;
  // {"kind": name()}
  nlohmann::json ToJson() const override;
};

}  // namespace hone::engine::tasks
