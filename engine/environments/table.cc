#include "engine/environments/table.h"

namespace hone::engine::environments {
namespace {

struct EnvironmentTable {
  std::unique_ptr<Environment> operator()(const MazeOptions& options) const {
    return MakeMazeEnvironment(options);
  }
  std::unique_ptr<Environment> operator()(Control control) const {
    return MakeControlEnvironment(control);
  }
};

}  // namespace

std::unique_ptr<Environment> MakeEnvironment(const EnvironmentOptions& options) {
  return std::visit(EnvironmentTable{}, options);
}

}  // namespace hone::engine::environments
