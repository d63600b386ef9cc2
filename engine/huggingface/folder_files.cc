#include "engine/huggingface/folder_files.h"

#include <filesystem>
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
constexpr const char* kNames[] = {"config.json",
                                  "generation_config.json",
                                  "tokenizer_config.json",
                                  "special_tokens_map.json",
                                  "chat_template.jinja",
                                  "modules.json",
                                  "sentence_bert_config.json",
                                  "config_sentence_transformers.json",
                                  "1_Pooling/config.json"};

// What an adapter that has a tokenizer of its own has beside it.
constexpr const char* kOfTokens[] = {"tokenizer_config.json", "special_tokens_map.json",
                                     "chat_template.jinja"};

bool IsFile(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error);
}

absl::Status ReadThose(const std::string& directory, std::span<const char* const> names,
                       std::map<std::string, std::string>& files) {
  for (const char* name : names) {
    const std::string path = absl::StrCat(directory, "/", name);
    files.erase(name);
    if (IsFile(path)) {
      HONE_ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMostBytes));
      HONE_RETURN_IF_ERROR(Annotate(CheckUtf8(text), path));
      files.emplace(name, std::move(text));
    }
  }
  return absl::OkStatus();
}

}  // namespace

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
