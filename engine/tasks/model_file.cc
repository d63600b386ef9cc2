#include "engine/tasks/model_file.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/tasks/table.h"

namespace hone::engine::tasks {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
}  // namespace

std::string ToJson(const ModelFile& file) {
  const json out = {{"format", "hone-model"},
                    {"version", kVersion},
                    {"display_name", file.display_name},
                    {"task", MakeTask(file.task)->ToJson()},
                    {"model", models::ToJson(file.model)},
                    {"preprocessing", file.preprocessing.ToJson()},
                    {"metrics", file.metrics}};
  return out.dump(2) + "\n";
}

absl::StatusOr<ModelFile> ModelFileFromJson(const std::string& text) {
  const json in = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!in.is_object()) {
    return absl::InvalidArgumentError("model.json is no JSON object");
  }
  try {
    if (in.at("format") != "hone-model" || in.at("version") != kVersion) {
      return absl::InvalidArgumentError(
          absl::StrCat("model.json must be of format hone-model, version ", kVersion));
    }
    ModelFile file;
    file.display_name = in.at("display_name").get<std::string>();
    HONE_ASSIGN_OR_RETURN(file.task, TaskOptionsFromJson(in.at("task")));
    HONE_ASSIGN_OR_RETURN(file.model, models::ModelDescriptionFromJson(in.at("model")));
    HONE_ASSIGN_OR_RETURN(file.preprocessing,
                          data::Preprocessing::FromJson(in.at("preprocessing")));
    file.metrics = in.at("metrics").get<std::map<std::string, double>>();
    return file;
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("model.json: ", error.what()));
  }
}

std::vector<checkpoint::TensorToWrite> ModelTensors(const ParameterStore& store) {
  std::vector<checkpoint::TensorToWrite> tensors;
  for (ParameterId id = 0; id < store.size(); ++id) {
    if (store.spec(id).role == ParameterRole::kTransient) {
      continue;
    }
    tensors.push_back({.name = store.spec(id).name,
                       .shape = store.spec(id).shape,
                       .data = store.values(id).data()});
  }
  return tensors;
}

absl::Status ReadModel(const checkpoint::SafetensorsFile& file, ParameterStore& store) {
  for (ParameterId id = 0; id < store.size(); ++id) {
    if (store.spec(id).role == ParameterRole::kTransient) {
      continue;
    }
    HONE_RETURN_IF_ERROR(file.Read(store.spec(id).name, store.spec(id).shape, store.values(id)));
  }
  store.MarkChanged();
  store.RefreshAll();
  return absl::OkStatus();
}

}  // namespace hone::engine::tasks
