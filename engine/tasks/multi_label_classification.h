#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"

namespace hone::engine::tasks {

class Task;

// Classes of which a text may have any number: the last layer has a logit for each, and the loss is
// the mean of their binary cross-entropies. What the data set holds is 1 or 0 for each class, as
// values whose names are the classes' (data/texts.h, Task::kMultiLabel).
//
// Metrics: "micro_f1", of all decisions together, "macro_f1", the mean of the classes' F1, and
// "exact_match", how often all classes of a text are right. A class that no text has and none is
// given has an F1 of 0.
struct MultiLabelClassificationOptions {
  std::string separator = ",";  // between the names of a label; not empty
  float threshold = 0.5f;       // the probability from which on a text has a class
};

std::unique_ptr<Task> MakeMultiLabelClassification(const MultiLabelClassificationOptions& options);
// Of what Task::ToJson gave: see table.h.
absl::StatusOr<MultiLabelClassificationOptions> MultiLabelClassificationFromJson(
    const nlohmann::json& json);

}  // namespace hone::engine::tasks
