#include "engine/train/task.h"

#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "engine/train/evaluation.h"

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

absl::StatusOr<TaskGraph> Task::BuildForward(const TrainingConfig&, const DataInfo&,
                                             const ForwardSpec& spec) const {
  return absl::InternalError(absl::StrCat(name(), " has no program ", spec.name));
}

absl::StatusOr<Evaluation> Task::Evaluate(const EvaluationContext& context) const {
  return EvaluateRows(*this, context);
}

absl::StatusOr<data::LoadedData> LoadExamples(const data::LoadOptions& options,
                                              const TrainingConfig& config, const Task& task) {
  const int64_t own = task.own_examples(config);
  if (own == 0) {
    return data::Load(options);
  }
  if (own < 0 || own > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat(task.name(), ": an epoch must have 1 to 2147483647 examples, got ", own));
  }
  data::LoadedData data;
  data.splits.train.resize(static_cast<size_t>(own));
  std::iota(data.splits.train.begin(), data.splits.train.end(), 0);
  return data;
}

DataInfo InfoOf(const data::LoadedData& loaded, const Task& task) {
  DataInfo info = InfoOf(loaded);
  if (const data::RowBucket bucket_of = task.RowBuckets(loaded.dataset)) {
    info.train_buckets = data::CountBuckets(loaded.splits.train, bucket_of);
    info.validation_buckets = data::CountBuckets(loaded.splits.validation, bucket_of);
    info.test_buckets = data::CountBuckets(loaded.splits.test, bucket_of);
  }
  return info;
}

}  // namespace hone::engine::train
