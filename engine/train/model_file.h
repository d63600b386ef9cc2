#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "engine/data/preprocessing.h"
#include "engine/models/model_description.h"
#include "engine/train/config.h"

namespace hone::engine::train {

// What model.json holds beside the weights: all that is needed to build the network again and to
// read its output.
struct ModelFile {
  std::string display_name;
  TaskOptions task;
  models::ModelDescription model;
  data::Preprocessing preprocessing;
  std::map<std::string, double> metrics;  // final ones, but for those of the clock and the machine
};

std::string ToJson(const ModelFile& file);
// INVALID_ARGUMENT names the field.
absl::StatusOr<ModelFile> ModelFileFromJson(const std::string& text);

}  // namespace hone::engine::train
