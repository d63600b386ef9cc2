#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/data/preprocessing.h"
#include "engine/models/model_description.h"
#include "engine/tasks/data_info.h"
#include "engine/tasks/graphs.h"
#include "engine/tasks/prediction.h"

namespace hone::engine::tasks {

// A task's model once it is trained: what model_file.h keeps of the task, and what a predictor
// asks.
class TaskModel {
 public:
  virtual ~TaskModel() = default;

  // What model.json holds under "task": {"kind": name(), …}; the task table reads it back.
  virtual nlohmann::json ToJson() const = 0;
  // Forward only; fetches the model's output [batch, …] alone. As it stands here: the layers behind
  // the input "features".
  virtual absl::StatusOr<TaskGraph> BuildPrediction(const models::ModelDescription& model,
                                                    const DataInfo& info, int64_t batch) const;
  // INVALID_ARGUMENT where so many outputs for an example do not fit what the model file says.
  virtual absl::Status CheckOutputs(int64_t outputs,
                                    const data::Preprocessing& preprocessing) const;
  // What the output for one example means. As it stands here: its numbers.
  virtual Prediction ReadOutput(std::span<const float> output,
                                const data::Preprocessing& preprocessing) const;
};

}  // namespace hone::engine::tasks
