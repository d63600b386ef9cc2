#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/params/parameter_store.h"
#include "engine/plan/program.h"
#include "engine/tasks/evaluation.h"
#include "engine/tasks/graphs.h"

namespace hone::engine::tasks {

class Task;
struct EvaluationContext;

// Programs of a task's own, of a run or of a predictor. Not thread safe.
class ForwardPrograms {
 public:
  virtual ~ForwardPrograms() = default;

  // One that was compiled for this shape. Its inputs and outputs lie in memory that the other
  // programs use too: fill (inputs.h), run and read it without running another in between.
  // NOT_FOUND names those there are.
  virtual absl::StatusOr<const Program*> forward(absl::string_view name,
                                                 const BatchShape& shape) const = 0;
  // Runs it: what was changed in the store is seen, and the buffers that it changes by all others.
  virtual absl::Status Run(const Program& program, const RunScalars& scalars) = 0;
};

// What a task may use of a run's programs while the run lasts.
class TaskPrograms : public ForwardPrograms {
 public:
  // To read parameters, to copy and to blend them.
  virtual ParameterStore& store() = 0;
  // The evaluation programs over the context's rows, one at least, and what the task's scorer makes
  // of their outputs; names have no prefix: "loss", "accuracy", …. The context's `progress` is
  // called after each batch.
  virtual absl::StatusOr<Evaluation> EvaluateRows(const Task& task,
                                                  const EvaluationContext& context) const = 0;
};

}  // namespace hone::engine::tasks
