#include "engine/predict/checkpoint_model.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/tasks/language_modeling.h"
#include "engine/tasks/masked_language_modeling.h"

namespace hone::engine::predict {
namespace {

// Tokens of a text whose keys and values are kept: some checkpoints have places for very many.
constexpr int64_t kMostWindow = 2048;

tasks::TaskOptions OptionsOf(huggingface::Head::Kind kind) {
  using Kind = huggingface::Head::Kind;
  switch (kind) {
    case Kind::kClasses:
      return tasks::ClassificationOptions{};
    case Kind::kSeveralClasses:
      return tasks::MultiLabelClassificationOptions{};
    case Kind::kValues:
      return tasks::RegressionOptions{};
    case Kind::kTags:
      break;
  }
  return tasks::TokenTaggingOptions{};
}

void SetNames(const huggingface::Head& head, data::Preprocessing& preprocessing) {
  using Kind = huggingface::Head::Kind;
  if (head.kind == Kind::kClasses || head.kind == Kind::kTags) {
    preprocessing.class_names = head.names;
  } else {
    preprocessing.target_names = head.names;
    preprocessing.target_mean.assign(head.names.size(), 0);
    preprocessing.target_std.assign(head.names.size(), 1);
  }
}

}  // namespace

absl::StatusOr<std::optional<CheckpointTask>> TaskOfCheckpoint(
    const std::string& directory, const models::ModelDescription& model,
    const huggingface::Weights& weights) {
  CheckpointTask task;
  if (model.preset.name == "gpt") {
    const nlohmann::json options = nlohmann::json::parse(model.preset.options);
    const int64_t places = options.value("window", options.value("longest", kMostWindow));
    task.options = tasks::LanguageModelingOptions{.window = std::min(places, kMostWindow)};
    return task;
  }
  if (weights.Holds("classifier.weight")) {
    const int64_t outputs = weights.shape("classifier.weight")[0];
    absl::StatusOr<huggingface::Head> head = huggingface::ReadHead(directory, outputs);
    HONE_RETURN_IF_ERROR(Annotate(head.status(), directory));
    task.options = OptionsOf(head->kind);
    task.head = *std::move(head);
    return task;
  }
  if (!weights.Holds("transform.weight")) {
    return std::optional<CheckpointTask>();
  }
  task.options = tasks::MaskedLanguageModelingOptions{};
  return task;
}

absl::StatusOr<tasks::ModelFile> CheckpointModel(const std::string& directory,
                                                 const huggingface::Weights& weights) {
  tasks::ModelFile file;
  file.display_name = std::filesystem::path(directory).filename().string();
  HONE_ASSIGN_OR_RETURN(file.model, huggingface::DescribeModel(directory));
  file.preprocessing.input = data::Preprocessing::Input::kText;
  HONE_ASSIGN_OR_RETURN(file.preprocessing.text, huggingface::ReadTokens(directory));
  HONE_ASSIGN_OR_RETURN(const std::optional<CheckpointTask> task,
                        TaskOfCheckpoint(directory, file.model, weights));
  if (!task.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory,
                     ": the checkpoint answers nothing by itself: it has no head. Train "
                     "one that begins with it: model.pretrained.path"));
  }
  file.task = task->options;
  if (task->head.has_value()) {
    SetNames(*task->head, file.preprocessing);
  }
  return file;
}

absl::Status ReadCheckpoint(const huggingface::Weights& weights, ParameterStore& store) {
  for (ParameterId id = 0; id < store.size(); ++id) {
    const ParameterSpec& spec = store.spec(id);
    if (spec.role == ParameterRole::kTransient || store.borrowed(id) != nullptr) {
      continue;
    }
    if (!weights.Holds(spec.name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the checkpoint has no values of ", spec.name));
    }
    HONE_RETURN_IF_ERROR(weights.ReadInto(store, id));
  }
  store.MarkChanged();
  store.RefreshAll();
  return absl::OkStatus();
}

}  // namespace hone::engine::predict
