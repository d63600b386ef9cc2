#include "engine/predict/checkpoint_model.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/huggingface/head.h"
#include "engine/tasks/language_modeling.h"
#include "engine/tasks/masked_language_modeling.h"

namespace hone::engine::predict {
namespace {

// Tokens of a text whose keys and values are kept: some checkpoints have places for very many.
constexpr int64_t kMostWindow = 2048;

// What a head says of texts, with its names.
void SetTask(const huggingface::Head& head, tasks::ModelFile& file) {
  using Kind = huggingface::Head::Kind;
  data::Preprocessing& preprocessing = file.preprocessing;
  if (head.kind == Kind::kClasses || head.kind == Kind::kTags) {
    preprocessing.class_names = head.names;
  } else {
    preprocessing.target_names = head.names;
    preprocessing.target_mean.assign(head.names.size(), 0);
    preprocessing.target_std.assign(head.names.size(), 1);
  }
  switch (head.kind) {
    case Kind::kClasses:
      file.task = tasks::ClassificationOptions{};
      return;
    case Kind::kSeveralClasses:
      file.task = tasks::MultiLabelClassificationOptions{};
      return;
    case Kind::kValues:
      file.task = tasks::RegressionOptions{};
      return;
    case Kind::kTags:
      file.task = tasks::TokenTaggingOptions{};
      return;
  }
}

}  // namespace

absl::StatusOr<tasks::ModelFile> CheckpointModel(const std::string& directory,
                                                 const huggingface::Weights& weights) {
  tasks::ModelFile file;
  file.display_name = std::filesystem::path(directory).filename().string();
  HONE_ASSIGN_OR_RETURN(file.model, huggingface::DescribeModel(directory));
  file.preprocessing.input = data::Preprocessing::Input::kText;
  HONE_ASSIGN_OR_RETURN(file.preprocessing.text, huggingface::ReadTokens(directory));
  if (file.model.preset.name == "gpt") {
    const nlohmann::json options = nlohmann::json::parse(file.model.preset.options);
    const int64_t places = options.value("window", options.value("longest", kMostWindow));
    file.task = tasks::LanguageModelingOptions{.window = std::min(places, kMostWindow)};
    return file;
  }
  if (weights.Holds("classifier.weight")) {
    const int64_t outputs = weights.shape("classifier.weight")[0];
    absl::StatusOr<huggingface::Head> head = huggingface::ReadHead(directory, outputs);
    HONE_RETURN_IF_ERROR(Annotate(head.status(), directory));
    SetTask(*head, file);
    return file;
  }
  if (!weights.Holds("transform.weight")) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory,
                     ": the checkpoint answers nothing by itself: it has no head. Train "
                     "one that begins with it: model.pretrained.path"));
  }
  file.task = tasks::MaskedLanguageModelingOptions{};
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
