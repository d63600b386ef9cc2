#include "engine/train/model_file.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::engine::train {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr const char* kLosses[] = {"mse", "mae", "huber"};

struct TaskToJson {
  json operator()(const ClassificationOptions& options) const {
    return {{"kind", "classification"},
            {"label_smoothing", options.label_smoothing},
            {"class_weights", options.class_weights},
            {"binary", options.binary}};
  }
  json operator()(const RegressionOptions& options) const {
    return {{"kind", "regression"},
            {"loss", kLosses[static_cast<int>(options.loss)]},
            {"huber_delta", options.huber_delta}};
  }
};

absl::StatusOr<TaskOptions> TaskFromJson(const json& in) {
  const auto kind = in.at("kind").get<std::string>();
  if (kind == "classification") {
    return ClassificationOptions{.label_smoothing = in.at("label_smoothing").get<float>(),
                                 .class_weights = in.at("class_weights").get<std::vector<float>>(),
                                 .binary = in.at("binary").get<bool>()};
  }
  if (kind != "regression") {
    return absl::InvalidArgumentError(absl::StrCat("`task.kind` is not known: \"", kind, "\""));
  }
  RegressionOptions options{.huber_delta = in.at("huber_delta").get<float>()};
  const auto loss = in.at("loss").get<std::string>();
  for (int i = 0; i < 3; ++i) {
    if (loss == kLosses[i]) {
      options.loss = static_cast<RegressionOptions::Loss>(i);
      return options;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("`task.loss` is not known: \"", loss, "\""));
}

}  // namespace

std::string ToJson(const ModelFile& file) {
  const json out = {{"format", "hone-model"},
                    {"version", kVersion},
                    {"display_name", file.display_name},
                    {"task", std::visit(TaskToJson{}, file.task)},
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
    HONE_ASSIGN_OR_RETURN(file.task, TaskFromJson(in.at("task")));
    HONE_ASSIGN_OR_RETURN(file.model, models::ModelDescriptionFromJson(in.at("model")));
    HONE_ASSIGN_OR_RETURN(file.preprocessing,
                          data::Preprocessing::FromJson(in.at("preprocessing")));
    file.metrics = in.at("metrics").get<std::map<std::string, double>>();
    return file;
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("model.json: ", error.what()));
  }
}

}  // namespace hone::engine::train
