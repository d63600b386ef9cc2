#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"

namespace hone::engine::tasks {

class Task;

struct RegressionOptions {
  enum class Loss { kMse, kMae, kHuber };
  Loss loss = Loss::kMse;
  float huber_delta = 1;
};

std::unique_ptr<Task> MakeRegression(const RegressionOptions& options);
// Of what Task::ToJson gave: see table.h.
absl::StatusOr<RegressionOptions> RegressionFromJson(const nlohmann::json& json);

}  // namespace hone::engine::tasks
