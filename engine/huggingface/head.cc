#include "engine/huggingface/head.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/huggingface/adapter.h"

namespace hone::engine::huggingface {
namespace {

constexpr int64_t kMostBytes = 16 << 20;
constexpr char kConfig[] = "config.json", kLabels[] = "id2label", kProblem[] = "problem_type";

std::vector<std::string> UsualNames(int64_t outputs) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < outputs; ++i) {
    names.push_back(absl::StrCat("LABEL_", i));
  }
  return names;
}

absl::StatusOr<std::vector<std::string>> NamesOf(const nlohmann::json& labels, int64_t outputs,
                                                 absl::string_view file) {
  const std::string wanted =
      absl::StrCat(file, ": `id2label` must have a name for each number from 0 to ", outputs - 1,
                   ", each another one: the head has ", outputs, " outputs");
  if (!labels.is_object() || std::ssize(labels) != outputs) {
    return absl::InvalidArgumentError(wanted);
  }
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (int64_t i = 0; i < outputs; ++i) {
    const auto label = labels.find(absl::StrCat(i));
    if (label == labels.end() || !label->is_string() ||
        !seen.insert(label->get<std::string>()).second) {
      return absl::InvalidArgumentError(wanted);
    }
    names.push_back(label->get<std::string>());
  }
  return names;
}

bool HasArchitecture(const nlohmann::json& config, absl::string_view end) {
  const auto all = config.find("architectures");
  return all != config.end() && all->is_array() &&
         std::ranges::any_of(*all, [&](const nlohmann::json& name) {
           return name.is_string() && absl::EndsWith(name.get_ref<const std::string&>(), end);
         });
}

absl::StatusOr<nlohmann::json> ReadConfigJson(const std::string& directory) {
  HONE_ASSIGN_OR_RETURN(const std::string text,
                        ReadFile(absl::StrCat(directory, "/", kConfig), kMostBytes));
  absl::StatusOr<nlohmann::json> parsed = ParseJsonObject(text);
  HONE_RETURN_IF_ERROR(Annotate(parsed.status(), kConfig));
  return parsed;
}

bool IsGiven(const nlohmann::json& config, const char* key) {
  const auto found = config.find(key);
  return found != config.end() && !found->is_null();
}

// What is said of the head of an adapter: by its own files where they say something, else by its
// base.
absl::StatusOr<nlohmann::json> ConfigOfAdapter(const std::string& directory, nlohmann::json base,
                                               int64_t outputs) {
  const auto fits = [&](const nlohmann::json& labels) {
    return labels.is_object() && std::ssize(labels) == outputs;
  };
  if (IsGiven(base, kLabels) && !fits(base[kLabels])) {
    base.erase(kLabels);
  }
  std::error_code error;
  if (std::filesystem::exists(absl::StrCat(directory, "/", kConfig), error)) {
    HONE_ASSIGN_OR_RETURN(const nlohmann::json beside, ReadConfigJson(directory));
    if (IsGiven(beside, kLabels) && fits(beside[kLabels])) {
      base[kLabels] = beside[kLabels];
    }
    if (IsGiven(beside, kProblem)) {
      base[kProblem] = beside[kProblem];
    }
  }
  return base;
}

}  // namespace

absl::StatusOr<Head> ReadHead(const std::string& directory, int64_t outputs) {
  HONE_ASSIGN_OR_RETURN(const std::string base, FolderOfNet(directory));
  HONE_ASSIGN_OR_RETURN(nlohmann::json config, ReadConfigJson(base));
  bool of_tokens = HasArchitecture(config, "ForTokenClassification");
  nlohmann::json labels_of_adapter;
  if (IsAdapter(directory)) {
    HONE_ASSIGN_OR_RETURN(config, ConfigOfAdapter(directory, std::move(config), outputs));
    HONE_ASSIGN_OR_RETURN(labels_of_adapter, LabelsOf(directory));
    HONE_ASSIGN_OR_RETURN(const std::string task, TaskTypeOf(directory));
    of_tokens = task.empty() ? of_tokens : task == "TOKEN_CLS";
  }
  Head head;
  head.names = UsualNames(outputs);
  if (!labels_of_adapter.is_null()) {
    HONE_ASSIGN_OR_RETURN(head.names, NamesOf(labels_of_adapter, outputs, "adapter_config.json"));
  } else if (IsGiven(config, kLabels)) {
    HONE_ASSIGN_OR_RETURN(head.names, NamesOf(config[kLabels], outputs, kConfig));
  }
  head.named = head.names != UsualNames(outputs);
  const std::string kind = IsGiven(config, kProblem) && config[kProblem].is_string()
                               ? config[kProblem].get<std::string>()
                               : "";
  head.kind = of_tokens                              ? Head::Kind::kTags
              : kind == "multi_label_classification" ? Head::Kind::kSeveralClasses
              : kind == "regression" || outputs == 1 ? Head::Kind::kValues
                                                     : Head::Kind::kClasses;
  return head;
}

}  // namespace hone::engine::huggingface
