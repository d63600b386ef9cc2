#include "engine/huggingface/head.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/huggingface/adapter.h"

namespace hone::engine::huggingface {
namespace {

constexpr int64_t kMostBytes = 16 << 20;

std::vector<std::string> UsualNames(int64_t outputs) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < outputs; ++i) {
    names.push_back(absl::StrCat("LABEL_", i));
  }
  return names;
}

absl::StatusOr<std::vector<std::string>> NamesOf(const nlohmann::json& labels, int64_t outputs) {
  const std::string wanted =
      absl::StrCat("config.json: `id2label` must have a name for each number from 0 to ",
                   outputs - 1, ", each another one: the head has ", outputs, " outputs");
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

}  // namespace

absl::StatusOr<Head> ReadHead(const std::string& directory, int64_t outputs) {
  HONE_ASSIGN_OR_RETURN(const std::string base, FolderOfNet(directory));
  HONE_ASSIGN_OR_RETURN(const std::string text,
                        ReadFile(absl::StrCat(base, "/config.json"), kMostBytes));
  const absl::StatusOr<nlohmann::json> parsed = ParseJsonObject(text);
  HONE_RETURN_IF_ERROR(Annotate(parsed.status(), "config.json"));
  const nlohmann::json& config = *parsed;
  Head head;
  head.names = UsualNames(outputs);
  const bool is_adapter = IsAdapter(directory);
  if (const auto labels = config.find("id2label");
      labels != config.end() && !labels->is_null() &&
      // An adapter brings a head of its own, of which its base may say nothing.
      (!is_adapter || (labels->is_object() && std::ssize(*labels) == outputs))) {
    HONE_ASSIGN_OR_RETURN(head.names, NamesOf(*labels, outputs));
    head.named = head.names != UsualNames(outputs);
  }
  const auto problem = config.find("problem_type");
  const std::string kind =
      problem != config.end() && problem->is_string() ? problem->get<std::string>() : "";
  bool of_tokens = HasArchitecture(config, "ForTokenClassification");
  if (is_adapter) {
    HONE_ASSIGN_OR_RETURN(const std::string task, TaskTypeOf(directory));
    of_tokens = task.empty() ? of_tokens : task == "TOKEN_CLS";
  }
  head.kind = of_tokens                              ? Head::Kind::kTags
              : kind == "multi_label_classification" ? Head::Kind::kSeveralClasses
              : kind == "regression" || outputs == 1 ? Head::Kind::kValues
                                                     : Head::Kind::kClasses;
  return head;
}

}  // namespace hone::engine::huggingface
