#include "engine/tasks/table.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>

#include "absl/strings/str_cat.h"

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
  std::unique_ptr<Task> operator()(const ImageGenerationOptions& options) const {
    return MakeImageGeneration(options);
  }
  std::unique_ptr<Task> operator()(const RecommendationOptions& options) const {
    return MakeRecommendation(options);
  }
  std::unique_ptr<Task> operator()(const ReinforcementLearningOptions& options) const {
    return MakeReinforcementLearning(options);
  }
  std::unique_ptr<Task> operator()(const ForecastingOptions& options) const {
    return MakeForecasting(options);
  }
  std::unique_ptr<Task> operator()(const LanguageModelingOptions& options) const {
    return MakeLanguageModeling(options);
  }
  std::unique_ptr<Task> operator()(const TranslationOptions& options) const {
    return MakeTranslation(options);
  }
  std::unique_ptr<Task> operator()(const MaskedLanguageModelingOptions& options) const {
    return MakeMaskedLanguageModeling(options);
  }
  std::unique_ptr<Task> operator()(const TextEmbeddingOptions& options) const {
    return MakeTextEmbedding(options);
  }
  std::unique_ptr<Task> operator()(const TokenTaggingOptions& options) const {
    return MakeTokenTagging(options);
  }
  std::unique_ptr<Task> operator()(const MultiLabelClassificationOptions& options) const {
    return MakeMultiLabelClassification(options);
  }
  std::unique_ptr<Task> operator()(const PreferenceOptimizationOptions& options) const {
    return MakePreferenceOptimization(options);
  }
};

// … and its options of a model file; preference_optimization leaves models of language_modeling.
template <auto FromJson>
absl::StatusOr<TaskOptions> OptionsFromJson(const nlohmann::json& json) {
  return FromJson(json);
}
struct KindOfTask {
  absl::string_view name;
  absl::StatusOr<TaskOptions> (*from_json)(const nlohmann::json& json);
};
constexpr KindOfTask kKinds[] = {
    {"classification", OptionsFromJson<ClassificationFromJson>},
    {"forecasting", OptionsFromJson<ForecastingFromJson>},
    {"image_generation", OptionsFromJson<ImageGenerationFromJson>},
    {"language_modeling", OptionsFromJson<LanguageModelingFromJson>},
    {"masked_language_modeling", OptionsFromJson<MaskedLanguageModelingFromJson>},
    {"multi_label_classification", OptionsFromJson<MultiLabelClassificationFromJson>},
    {"regression", OptionsFromJson<RegressionFromJson>},
    {"recommendation", OptionsFromJson<RecommendationFromJson>},
    {"reinforcement_learning", OptionsFromJson<ReinforcementLearningFromJson>},
    {"text_embedding", OptionsFromJson<TextEmbeddingFromJson>},
    {"token_tagging", OptionsFromJson<TokenTaggingFromJson>},
    {"translation", OptionsFromJson<TranslationFromJson>},
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

}  // namespace hone::engine::tasks
