#include "engine/huggingface/folder_files.h"

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"

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

}  // namespace

bool IsFileBesideWeights(absl::string_view name) {
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

absl::StatusOr<std::map<std::string, std::string>> ReadFilesBesideWeights(
    const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const absl::string_view name : kNames) {
    const std::string path = absl::StrCat(directory, "/", name);
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) {
      continue;
    }
    HONE_ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMostBytes));
    HONE_RETURN_IF_ERROR(Annotate(CheckUtf8(text), path));
    files.emplace(name, std::move(text));
  }
  return files;
}

}  // namespace hone::engine::huggingface
