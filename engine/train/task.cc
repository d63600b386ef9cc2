#include "engine/train/task.h"

namespace hone::engine::train {
namespace {

struct TaskTable {
  std::unique_ptr<Task> operator()(const ClassificationOptions& options) const {
    return MakeClassification(options);
  }
  std::unique_ptr<Task> operator()(const RegressionOptions& options) const {
    return MakeRegression(options);
  }
};

}  // namespace

std::unique_ptr<Task> MakeTask(const TaskOptions& options) {
  return std::visit(TaskTable{}, options);
}

}  // namespace hone::engine::train
