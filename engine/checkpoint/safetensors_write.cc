#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/checkpoint/durable_file.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/checkpoint/safetensors_header.h"

namespace hone::engine::checkpoint {
namespace {

absl::StatusOr<int64_t> BytesOf(const TensorToWrite& tensor) {
  int64_t bytes = SizeOf(tensor.dtype);
  for (const int64_t extent : tensor.shape.dims()) {
    if (extent < 0 || __builtin_mul_overflow(bytes, extent, &bytes)) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", Shown(tensor.name), ": bad shape ", tensor.shape.ToString()));
    }
  }
  if (tensor.shape.rank() > kMaxRank || (tensor.data == nullptr && bytes > 0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tensor ", Shown(tensor.name), ": must have data and at most ", kMaxRank, " dimensions"));
  }
  return bytes;
}

// Length and JSON, padded with spaces so that the data begins at a multiple of 8 bytes.
absl::StatusOr<std::string> MakeHeader(std::span<const TensorToWrite> tensors,
                                       const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) {
    header["__metadata__"] = metadata;
  }
  // Looked up here: an ordered_json looks a key up by walking all of them.
  absl::flat_hash_set<absl::string_view> names;
  int64_t begin = 0;
  for (const TensorToWrite& tensor : tensors) {
    if (tensor.name.empty() || tensor.name == "__metadata__" ||
        tensor.name.size() > kMaxNameBytes || !names.insert(tensor.name).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor ", Shown(tensor.name), ": a name must be its own, neither empty nor ",
          "__metadata__, and of at most ", kMaxNameBytes, " bytes"));
    }
    HONE_ASSIGN_OR_RETURN(const int64_t bytes, BytesOf(tensor));
    header.get_ref<nlohmann::ordered_json::object_t&>().emplace_back(
        tensor.name, nlohmann::ordered_json{{"dtype", std::string(NameOf(tensor.dtype))},
                                            {"shape", tensor.shape.dims()},
                                            {"data_offsets", {begin, begin + bytes}}});
    begin += bytes;
  }
  try {
    std::string json = header.dump();
    json.resize((json.size() + 7) / 8 * 8, ' ');
    const uint64_t length = json.size();
    std::string head(sizeof(length), '\0');
    std::memcpy(head.data(), &length, sizeof(length));
    return head + json;
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("names and metadata must be UTF-8: ", error.what()));
  }
}

}  // namespace

absl::StatusOr<WrittenFile> WriteSafetensors(const std::string& path,
                                             std::span<const TensorToWrite> tensors,
                                             const std::map<std::string, std::string>& metadata) {
  absl::StatusOr<std::string> header = MakeHeader(tensors, metadata);
  HONE_RETURN_IF_ERROR(Annotate(header.status(), path));
  HONE_ASSIGN_OR_RETURN(DurableFile file, DurableFile::Create(path));
  HONE_RETURN_IF_ERROR(file.Append(*header));
  for (const TensorToWrite& tensor : tensors) {
    HONE_ASSIGN_OR_RETURN(const int64_t bytes, BytesOf(tensor));
    HONE_RETURN_IF_ERROR(file.Append(
        std::span(static_cast<const std::byte*>(tensor.data), static_cast<size_t>(bytes))));
  }
  return file.Finish();
}

}  // namespace hone::engine::checkpoint
