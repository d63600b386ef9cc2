#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "absl/status/statusor.h"

namespace hone::engine::tasks {

class Task;

struct ClassificationOptions {
  float label_smoothing = 0;
  std::vector<float> class_weights;  // one for each class; empty: all 1
  bool binary = false;  // two classes, a last layer of one unit: binary cross-entropy of its logit
};

std::unique_ptr<Task> MakeClassification(const ClassificationOptions& options);
// Of what Task::ToJson gave: see table.h.
absl::StatusOr<ClassificationOptions> ClassificationFromJson(const nlohmann::json& json);

}  // namespace hone::engine::tasks
