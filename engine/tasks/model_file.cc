#include "engine/tasks/model_file.h"

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/huggingface/folder_files.h"
#include "engine/tasks/table.h"

namespace hone::engine::tasks {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr absl::string_view kSha256 = "sha256:";

checkpoint::TensorToWrite TensorOf(const ParameterStore& store, ParameterId id) {
  const ConstParameterView values = store.values(id);
  return {.name = store.spec(id).name,
          .shape = values.shape,
          .data = values.data,
          .dtype = values.dtype == DType::kBf16 ? checkpoint::FileDType::kBf16
                                                : checkpoint::FileDType::kF32};
}

// A parameter that the file does not hold itself must be lent now by the file that lent it then.
absl::Status CheckLender(const checkpoint::SafetensorsFile& file, const ParameterStore& store,
                         ParameterId id) {
  const auto named = file.metadata().find(store.spec(id).name);
  if (named == file.metadata().end() || !absl::StartsWith(named->second, kSha256)) {
    return absl::OkStatus();
  }
  const std::string wanted = named->second.substr(kSha256.size());
  const BorrowedValues* values = store.borrowed(id);
  if (values != nullptr && values->sha256 == wanted) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      file.path(), ": the values of ", store.spec(id).name,
      " are those of the file with the SHA-256 ", wanted, ", which must be there again; ",
      values == nullptr ? "none is given" : absl::StrCat(values->path, " has ", values->sha256)));
}

// Whoever gives the checkpoint back writes the files by these names.
absl::Status CheckNames(const std::map<std::string, std::string>& checkpoint_files) {
  for (const auto& [name, text] : checkpoint_files) {
    if (!huggingface::IsFileBesideWeights(name)) {
      return absl::InvalidArgumentError(absl::StrCat("model.json: checkpoint_files[\"",
                                                     absl::CHexEscape(name),
                                                     "\"]: is no file of a checkpoint"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string ToJson(const ModelFile& file) {
  json out = {{"format", "hone-model"},
              {"version", kVersion},
              {"display_name", file.display_name},
              {"task", MakeTask(file.task)->ToJson()},
              {"model", models::ToJson(file.model)},
              {"preprocessing", file.preprocessing.ToJson()},
              {"metrics", file.metrics}};
  if (!file.checkpoint_files.empty()) {
    out["checkpoint_files"] = file.checkpoint_files;
  }
  return out.dump(2) + "\n";
}

absl::StatusOr<ModelFile> ModelFileFromJson(const std::string& text) {
  const absl::StatusOr<json> parsed = ParseJsonObject(text);
  HONE_RETURN_IF_ERROR(Annotate(parsed.status(), "model.json"));
  const json& in = *parsed;
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
    if (in.contains("checkpoint_files")) {
      in["checkpoint_files"].get_to(file.checkpoint_files);
      HONE_RETURN_IF_ERROR(CheckNames(file.checkpoint_files));
    }
    return file;
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("model.json: ", error.what()));
  }
}

std::vector<checkpoint::TensorToWrite> ModelTensors(const ParameterStore& store) {
  std::vector<checkpoint::TensorToWrite> tensors;
  for (ParameterId id = 0; id < store.size(); ++id) {
    if (store.spec(id).role != ParameterRole::kTransient) {
      tensors.push_back(TensorOf(store, id));
    }
  }
  return tensors;
}

StoredModel OwnTensors(const ParameterStore& store) {
  StoredModel stored;
  for (ParameterId id = 0; id < store.size(); ++id) {
    if (const BorrowedValues* values = store.borrowed(id); values != nullptr) {
      stored.metadata[store.spec(id).name] = absl::StrCat(kSha256, values->sha256);
    } else if (store.spec(id).role != ParameterRole::kTransient) {
      stored.tensors.push_back(TensorOf(store, id));
    }
  }
  return stored;
}

absl::Status LendModel(const checkpoint::Model& model, ParameterStore& store) {
  std::shared_ptr<const std::byte> mapped;
  for (ParameterId id = 0; id < store.size(); ++id) {
    const ParameterSpec& spec = store.spec(id);
    const absl::StatusOr<const checkpoint::FileTensor*> found = model.tensors.Find(spec.name);
    if (spec.role != ParameterRole::kFrozen || !found.ok()) {
      continue;
    }
    const checkpoint::FileTensor& tensor = **found;
    const bool as_it_lies =
        tensor.dtype == checkpoint::FileDType::kF32 || tensor.dtype == checkpoint::FileDType::kBf16;
    if (!as_it_lies || tensor.shape != spec.shape ||
        tensor.begin % checkpoint::SizeOf(tensor.dtype) != 0) {
      continue;
    }
    if (mapped == nullptr) {
      HONE_ASSIGN_OR_RETURN(mapped, model.tensors.Map());
    }
    const bool is_bf16 = tensor.dtype == checkpoint::FileDType::kBf16;
    HONE_RETURN_IF_ERROR(store.Borrow(id, {.dtype = is_bf16 ? DType::kBf16 : DType::kF32,
                                           .data = mapped.get() + tensor.begin,
                                           .memory = mapped,
                                           .sha256 = model.tensors_sha256,
                                           .path = model.tensors.path()}));
  }
  return absl::OkStatus();
}

absl::Status ReadModel(const checkpoint::SafetensorsFile& file, ParameterStore& store) {
  for (ParameterId id = 0; id < store.size(); ++id) {
    if (store.spec(id).role != ParameterRole::kTransient) {
      HONE_RETURN_IF_ERROR(CheckLender(file, store, id));
    }
    if (store.spec(id).role != ParameterRole::kTransient && store.borrowed(id) == nullptr) {
      HONE_RETURN_IF_ERROR(ReadParameter(file, store.spec(id).name, store, id));
    }
  }
  store.MarkChanged();
  store.RefreshAll();
  return absl::OkStatus();
}

absl::Status ReadParameter(const checkpoint::SafetensorsFile& file, absl::string_view name,
                           ParameterStore& store, ParameterId id) {
  const ParameterView values = store.mutable_values(id);
  if (values.dtype == DType::kF32) {
    return file.Read(name, values.shape, values.f32());
  }
  std::vector<float> wide(static_cast<size_t>(values.shape.elements()));
  HONE_RETURN_IF_ERROR(file.Read(name, values.shape, wide));
  values.CopyFrom(wide);
  return absl::OkStatus();
}

}  // namespace hone::engine::tasks
