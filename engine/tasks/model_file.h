#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/data/preprocessing.h"
#include "engine/models/model_description.h"
#include "engine/params/parameter_store.h"
#include "engine/tasks/config.h"

namespace hone::engine::tasks {

// What model.json holds beside the weights: all that is needed to build the network again and to
// read its output.
struct ModelFile {
  std::string display_name;
  TaskOptions task;
  models::ModelDescription model;
  data::Preprocessing preprocessing;
  std::map<std::string, double> metrics;  // final ones, but for those of the clock and the machine
  // Of a model that began with a checkpoint in Hugging Face's form: the text of config.json and of
  // the other small files that lay beside its weights, by name, so that it can be given back in
  // that form (export/).
  std::map<std::string, std::string> checkpoint_files = {};
};

std::string ToJson(const ModelFile& file);
// INVALID_ARGUMENT names the field; a name in `checkpoint_files` must be one of
// huggingface::IsFileBesideWeights.
absl::StatusOr<ModelFile> ModelFileFromJson(const std::string& text);

// Every parameter and buffer, in the store's order. Points into the store.
std::vector<checkpoint::TensorToWrite> ModelTensors(const ParameterStore& store);

// What a checkpoint holds of them: those that lie in a file are named in its metadata instead, by
// the SHA-256 of that file, {"encoder.weight": "sha256:ab…"}.
struct StoredModel {
  std::vector<checkpoint::TensorToWrite> tensors;
  std::map<std::string, std::string> metadata = {{"producer", "hone"}};
};
StoredModel OwnTensors(const ParameterStore& store);

// One parameter from a file, under a name there; rounded where it is kept in bf16. INVALID_ARGUMENT
// if its shape is another, NOT_FOUND if it is not there.
absl::Status ReadParameter(const checkpoint::SafetensorsFile& file, absl::string_view name,
                           ParameterStore& store, ParameterId id);

// Lends the store its frozen parameters that the model's file has in f32 or bf16, in their shapes,
// at a multiple of their size; before its Allocate. ReadModel says what is wrong with others.
absl::Status LendModel(const checkpoint::Model& model, ParameterStore& store);

// Parameters and buffers from a file; INVALID_ARGUMENT where names or shapes are not the model's.
// FAILED_PRECONDITION where the file names another one that holds a parameter, and the store has it
// not from there.
absl::Status ReadModel(const checkpoint::SafetensorsFile& file, ParameterStore& store);

}  // namespace hone::engine::tasks
