#include "engine/huggingface/folder_files.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "engine/huggingface/adapter.h"

namespace hone::engine::huggingface {
namespace {

constexpr int64_t kMostBytes = 4 << 20;
constexpr absl::string_view kNames[] = {"config.json",
                                        "generation_config.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "chat_template.jinja",
                                        "modules.json",
                                        "sentence_bert_config.json",
                                        "config_sentence_transformers.json",
                                        "1_Pooling/config.json"};

// What an adapter that has a tokenizer of its own has beside it.
constexpr absl::string_view kOfTokens[] = {"tokenizer_config.json", "special_tokens_map.json",
                                           "chat_template.jinja"};

bool IsFile(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error);
}

absl::Status ReadThose(const std::string& directory, std::span<const absl::string_view> names,
                       std::map<std::string, std::string>& files) {
  for (const absl::string_view name : names) {
    const std::string path = absl::StrCat(directory, "/", name);
    files.erase(std::string(name));
    if (IsFile(path)) {
      HONE_ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMostBytes));
      HONE_RETURN_IF_ERROR(Annotate(CheckUtf8(text), path));
      files.emplace(name, std::move(text));
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool IsFileBesideWeights(absl::string_view name) {
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

absl::StatusOr<std::map<std::string, std::string>> ReadFilesBesideWeights(
    const std::string& directory) {
  std::map<std::string, std::string> files;
  HONE_ASSIGN_OR_RETURN(const std::string base, FolderOfNet(directory));
  HONE_RETURN_IF_ERROR(ReadThose(base, kNames, files));
  if (base != directory && IsFile(absl::StrCat(directory, "/tokenizer.json"))) {
    HONE_RETURN_IF_ERROR(ReadThose(directory, kOfTokens, files));
  }
  return files;
}

}  // namespace hone::engine::huggingface
