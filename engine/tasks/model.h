#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>

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
  // Forward only, with whatever inputs the task's Answerer fills; fetches the model's output
  // [batch, …] alone. As it stands here: the layers behind the input "features", or behind the
  // tokens of texts. `shape` is for so many examples of the bucket that the Answerer says.
  virtual absl::StatusOr<TaskGraph> BuildPrediction(const models::ModelDescription& model,
                                                    const DataInfo& info,
                                                    const BatchShape& shape) const;
  // For a model of that preprocessing, which outlives it. As it stands here: FeaturesAnswerer,
  // whose answers are the outputs' numbers. INVALID_ARGUMENT where the task cannot read its own
  // part of the preprocessing.
  virtual absl::StatusOr<std::unique_ptr<Answerer>> NewAnswerer(
      const data::Preprocessing& preprocessing) const;
};

}  // namespace hone::engine::tasks
