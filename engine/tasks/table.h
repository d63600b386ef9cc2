#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"
#include "engine/tasks/config.h"
#include "engine/tasks/task.h"

namespace hone::engine::tasks {

// The task table. A new task is a pair of files with its options and two functions that make it,
// its options among TaskOptions (config.h), and its line in the table.
std::unique_ptr<Task> MakeTask(const TaskOptions& options);
// Of what Task::ToJson gave. INVALID_ARGUMENT names the field; throws nlohmann::json::exception
// where one is missing or of another type.
absl::StatusOr<TaskOptions> TaskOptionsFromJson(const nlohmann::json& json);

}  // namespace hone::engine::tasks
