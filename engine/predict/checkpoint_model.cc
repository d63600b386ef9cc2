#include "engine/predict/checkpoint_model.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/tasks/language_modeling.h"
#include "engine/tasks/masked_language_modeling.h"
#include "engine/tasks/text_embedding.h"

namespace hone::engine::predict {
namespace {

// Tokens of a text whose keys and values are kept: some checkpoints have places for very many.
constexpr int64_t kMostWindow = 2048;
// Of a file that says how vectors are made.
constexpr int64_t kMostBytes = 1 << 20;

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

// How vectors of texts are made of those of tokens, as sentence-transformers writes it, of an
// adapter that says nothing as its base does; where that says nothing, too, their mean.
absl::StatusOr<tasks::TextEmbeddingOptions::Pooling> PoolingOf(const std::string& directory) {
  using Pooling = tasks::TextEmbeddingOptions::Pooling;
  constexpr absl::string_view kMode = "pooling_mode_";
  constexpr absl::string_view kFile = "/1_Pooling/config.json";
  std::string path = absl::StrCat(directory, kFile);
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    HONE_ASSIGN_OR_RETURN(const std::string net, huggingface::FolderOfNet(directory));
    path = absl::StrCat(net, kFile);
  }
  if (!std::filesystem::is_regular_file(path, error)) {
    return Pooling::kMean;
  }
  HONE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMostBytes));
  const absl::StatusOr<nlohmann::json> config = ParseJsonObject(text);
  HONE_RETURN_IF_ERROR(Annotate(config.status(), path));
  Pooling pooling = Pooling::kMean;
  for (const auto& [key, value] : config->items()) {
    if (!absl::StartsWith(key, kMode) || value != true) {
      continue;
    }
    if (key != "pooling_mode_mean_tokens" && key != "pooling_mode_cls_token") {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": `", CutUtf8(key, 80),
                       "` is not known here; known are `pooling_mode_mean_tokens` and "
                       "`pooling_mode_cls_token`"));
    }
    pooling = key == "pooling_mode_cls_token" ? Pooling::kFirst : pooling;
  }
  return pooling;
}

}  // namespace

absl::StatusOr<CheckpointTask> TaskOfCheckpoint(const std::string& directory,
                                                const models::ModelDescription& model,
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
  if (weights.Holds("transform.weight")) {
    task.options = tasks::MaskedLanguageModelingOptions{};
    return task;
  }
  HONE_ASSIGN_OR_RETURN(const tasks::TextEmbeddingOptions::Pooling pooling, PoolingOf(directory));
  task.options = tasks::TextEmbeddingOptions{.pooling = pooling};
  return task;
}

absl::StatusOr<tasks::ModelFile> CheckpointModel(const std::string& directory,
                                                 const huggingface::Weights& weights) {
  tasks::ModelFile file;
  file.display_name = std::filesystem::path(directory).filename().string();
  HONE_ASSIGN_OR_RETURN(file.model, huggingface::DescribeModel(directory));
  file.preprocessing.input = data::Preprocessing::Input::kText;
  HONE_ASSIGN_OR_RETURN(file.preprocessing.text, huggingface::ReadTokens(directory));
  HONE_ASSIGN_OR_RETURN(const CheckpointTask task,
                        TaskOfCheckpoint(directory, file.model, weights));
  file.task = task.options;
  if (task.head.has_value()) {
    SetNames(*task.head, file.preprocessing);
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
