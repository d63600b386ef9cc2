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
  if (!weights.Holds("transform.weight")) {
    return absl::InvalidArgumentError(absl::StrCat(
        directory,
        ": the checkpoint answers nothing by itself: it has no head that finds masked words. Train "
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
