#include "engine/tasks/task.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/fingerprint.h"

namespace hone::engine::tasks {
namespace {

// The task table: what makes a task of its options …
struct TaskTable {
  std::unique_ptr<Task> operator()(const ClassificationOptions& options) const {
    return MakeClassification(options);
  }
  std::unique_ptr<Task> operator()(const RegressionOptions& options) const {
    return MakeRegression(options);
  }
};

// … and its options of a model file.
struct KindOfTask {
  absl::string_view name;
  absl::StatusOr<TaskOptions> (*from_json)(const nlohmann::json& json);
};
constexpr KindOfTask kKinds[] = {
    {"classification", ClassificationFromJson},
    {"regression", RegressionFromJson},
};

}  // namespace

std::unique_ptr<Task> MakeTask(const TaskOptions& options) {
  return std::visit(TaskTable{}, options);
}

absl::StatusOr<TaskOptions> TaskOptionsFromJson(const nlohmann::json& json) {
  const auto name = json.at("kind").get<std::string>();
  const auto kind = std::ranges::find(kKinds, name, &KindOfTask::name);
  if (kind == std::end(kKinds)) {
    return absl::InvalidArgumentError(absl::StrCat("`task.kind` is not known: \"", name, "\""));
  }
  return kind->from_json(json);
}

absl::StatusOr<TaskGraph> Task::BuildForward(const TrainingConfig&, const DataInfo&,
                                             const ForwardSpec& spec) const {
  return absl::InternalError(absl::StrCat(name(), " has no program ", spec.name));
}

absl::StatusOr<Evaluation> Task::Evaluate(const EvaluationContext& context) const {
  return context.programs.EvaluateRows(*this, context);
}

absl::StatusOr<data::LoadedData> LoadExamples(const data::LoadOptions& options,
                                              const TrainingConfig& config, const Task& task) {
  HONE_ASSIGN_OR_RETURN(data::LoadedData data, task.MakeExamples(options, config));
  if (data.fingerprint.empty() && data.dataset.own() != nullptr) {
    data.fingerprint = data::Fingerprint(data);
  }
  return data;
}

absl::StatusOr<data::LoadedData> Task::MakeExamples(const data::LoadOptions& options,
                                                    const TrainingConfig& config) const {
  const int64_t own = own_examples(config);
  if (own == 0) {
    return data::Load(options);
  }
  if (own < 0 || own > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name(), ": an epoch must have 1 to 2147483647 examples, got ", own));
  }
  data::LoadedData data;
  data.splits.train.resize(static_cast<size_t>(own));
  std::iota(data.splits.train.begin(), data.splits.train.end(), 0);
  return data;
}

absl::StatusOr<DataInfo> Task::InspectExamples(const TrainingConfig& config) const {
  if (own_examples(config) != 0) {
    HONE_ASSIGN_OR_RETURN(const data::LoadedData own, MakeExamples(config.data, config));
    return InfoOf(own, *this);
  }
  HONE_ASSIGN_OR_RETURN(const data::DataSummary summary, data::Inspect(config.data));
  return InfoOf(summary, config.data);
}

absl::StatusOr<data::Dataset> Task::MakeUpExamples(const TrainingConfig& config,
                                                   const DataInfo& info, int64_t count,
                                                   int64_t) const {
  if (own_examples(config) != 0) {
    return data::Dataset();
  }
  data::DatasetParts parts;
  parts.size = count;
  parts.features = info.features;
  parts.feature_values = Buffer(count * info.features.bytes());
  RandomStream random(1, "made-up examples");
  const int64_t elements = count * info.features.shape.elements();
  for (int64_t i = 0; i < elements; ++i) {
    if (info.features.dtype == DType::kU8) {
      parts.feature_values.as<uint8_t>()[i] = static_cast<uint8_t>(random.NextBits());
    } else {
      parts.feature_values.as<float>()[i] = random.NextUniform(-1, 1);
    }
  }
  for (int64_t i = 0; i < info.features.shape.elements(); ++i) {
    if (info.features.dtype != DType::kU8) {
      parts.feature_names.push_back(absl::StrCat("feature ", i));
    }
  }
  parts.class_names = info.preprocessing.class_names;
  parts.target_names = info.preprocessing.target_names;
  for (int64_t i = 0; i < count; ++i) {
    if (info.classes() > 0) {
      parts.labels.push_back(static_cast<int32_t>(i % info.classes()));
    }
    for (int64_t t = 0; info.classes() == 0 && t < info.targets(); ++t) {
      parts.targets.push_back(random.NextUniform(-1, 1));
    }
  }
  return data::Dataset::Make(std::move(parts));
}

nlohmann::json Task::ToJson() const { return {{"kind", std::string(name())}}; }

absl::StatusOr<TaskGraph> Task::BuildPrediction(const models::ModelDescription& model,
                                                const DataInfo& info, int64_t batch) const {
  TaskGraph result;
  result.built.graph = std::make_unique<Graph>();
  Graph& graph = *result.built.graph;
  const Value input = FeaturesInput(graph, info, batch);
  HONE_ASSIGN_OR_RETURN(
      result.model, models::BuildModel(graph, model, input, {.training = false, .logits = true}));
  result.built.request = {.graph = &graph, .fetch = {result.model.output}, .gradients = {}};
  return result;
}

absl::Status Task::CheckOutputs(int64_t, const data::Preprocessing&) const {
  return absl::OkStatus();
}

Prediction Task::ReadOutput(std::span<const float> output, const data::Preprocessing&) const {
  Prediction prediction;
  prediction.values.assign(output.begin(), output.end());
  return prediction;
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

}  // namespace hone::engine::tasks
