#pragma once

#include <memory>
#include <variant>

#include "engine/environments/classic_control.h"
#include "engine/environments/maze_environment.h"

namespace hone::engine::environments {

// The environment table: a new environment is a pair of files, its options here, and its line in
// table.cc.
using EnvironmentOptions = std::variant<MazeOptions, Control>;

std::unique_ptr<Environment> MakeEnvironment(const EnvironmentOptions& options);

}  // namespace hone::engine::environments
