#include "engine/huggingface/tensor_files.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/checkpoint/safetensors_header.h"

namespace hone::engine::huggingface {
namespace {

using checkpoint::Shown;

constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";
constexpr int64_t kMostIndexBytes = 64 << 20;
constexpr size_t kMostShards = 200;  // each is an open file; a worker may have 256
constexpr absl::string_view kHowToConvert =
    "Convert it in that folder, where Python has torch and safetensors: python3 -c \"import torch, "
    "safetensors.torch as s; w = torch.load('pytorch_model.bin', weights_only=True); "
    "s.save_file({k: v.clone().contiguous() for k, v in w.items()}, 'model.safetensors', "
    "{'format': 'pt'})\"";

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

// Tensor → shard, by the index.
absl::StatusOr<std::map<std::string, std::string>> ReadIndex(const std::string& directory) {
  HONE_ASSIGN_OR_RETURN(const std::string text,
                        ReadFile(absl::StrCat(directory, "/", kIndex), kMostIndexBytes));
  const absl::StatusOr<nlohmann::json> index = ParseJson(text);
  HONE_RETURN_IF_ERROR(Annotate(index.status(), kIndex));
  if (!index->is_object() || !index->contains("weight_map") ||
      !(*index)["weight_map"].is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(
        kIndex, ": must be a JSON object with `weight_map`, the shard of each tensor"));
  }
  std::map<std::string, std::string> shard_of;
  for (const auto& [tensor, shard] : (*index)["weight_map"].items()) {
    const std::string name = shard.is_string() ? shard.get<std::string>() : "";
    if (!absl::EndsWith(name, ".safetensors") || absl::StartsWith(name, ".") ||
        name.find_first_of("/\\") != std::string::npos || absl::StrContains(name, '\0')) {
      return absl::InvalidArgumentError(absl::StrCat(
          kIndex, ": the shard of ", Shown(tensor),
          " must be the name of a .safetensors file of the same folder, got ", Shown(name)));
    }
    shard_of.emplace(tensor, name);
  }
  return shard_of;
}

}  // namespace

absl::Status NoWeights(absl::string_view where, bool pickled) {
  return absl::NotFoundError(
      pickled
          ? absl::StrCat(
                where,
                ": the weights are in pytorch_model.bin, a program's objects, which are not read "
                "here. ",
                kHowToConvert)
          : absl::StrCat(where, ": has neither ", kSingle, " nor ", kIndex));
}

absl::Status TensorFiles::Add(checkpoint::SafetensorsFile file) {
  for (const checkpoint::FileTensor& tensor : file.tensors()) {
    if (!tensors_.try_emplace(tensor.name, Place{files_.size(), tensor}).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(file.path(), ": tensor ", Shown(tensor.name), " is in another shard, too"));
    }
  }
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

absl::StatusOr<TensorFiles> TensorFiles::Open(const std::string& directory) {
  TensorFiles files;
  const std::string single = absl::StrCat(directory, "/", kSingle);
  if (Exists(single)) {
    HONE_ASSIGN_OR_RETURN(checkpoint::SafetensorsFile file,
                          checkpoint::SafetensorsFile::Open(single));
    HONE_RETURN_IF_ERROR(files.Add(std::move(file)));
    return files;
  }
  if (!Exists(absl::StrCat(directory, "/", kIndex))) {
    return NoWeights(directory,
                     Exists(absl::StrCat(directory, "/pytorch_model.bin")) ||
                         Exists(absl::StrCat(directory, "/pytorch_model.bin.index.json")));
  }
  const absl::StatusOr<std::map<std::string, std::string>> shard_of = ReadIndex(directory);
  HONE_RETURN_IF_ERROR(Annotate(shard_of.status(), directory));
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : *shard_of) {
    shards.insert(shard);
  }
  const auto wrong = [&](const auto&... words) {
    return absl::InvalidArgumentError(absl::StrCat(directory, "/", kIndex, ": ", words...));
  };
  if (shards.size() > kMostShards) {
    return wrong("names ", shards.size(), " shards; at most ", kMostShards, " are read");
  }
  for (const std::string& shard : shards) {
    const std::string path = absl::StrCat(directory, "/", shard);
    if (!Exists(path)) {
      return wrong("names the shard ", Shown(shard), ", which is not there");
    }
    HONE_ASSIGN_OR_RETURN(checkpoint::SafetensorsFile file,
                          checkpoint::SafetensorsFile::Open(path));
    for (const checkpoint::FileTensor& tensor : file.tensors()) {
      const auto named = shard_of->find(tensor.name);
      if (named == shard_of->end() || named->second != shard) {
        return wrong("does not name the tensor ", Shown(tensor.name), " of the shard ",
                     Shown(shard));
      }
    }
    HONE_RETURN_IF_ERROR(files.Add(std::move(file)));
  }
  for (const auto& [tensor, shard] : *shard_of) {
    if (!files.tensors().contains(tensor)) {
      return wrong("the shard ", Shown(shard), " has no tensor ", Shown(tensor));
    }
  }
  return files;
}

}  // namespace hone::engine::huggingface
