#include "server/worker/evaluation_file.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::server::worker {
namespace {

using Json = nlohmann::ordered_json;

// All but the confusion matrix.
Json HeadOf(const v1::Evaluation& evaluation) {
  Json head = {{"split", evaluation.split()},
               {"metrics", Json::object()},
               {"fit_verdict", evaluation.fit_verdict()},
               {"fit_reason", evaluation.fit_reason()},
               {"classes", Json::array()}};
  for (const auto& [name, value] : evaluation.metrics()) {
    head["metrics"][name] = value;
  }
  for (const v1::Evaluation::ClassReport& row : evaluation.classes()) {
    head["classes"].push_back({{"name", row.name()},
                               {"precision", row.precision()},
                               {"recall", row.recall()},
                               {"f1", row.f1()},
                               {"examples", row.examples()}});
  }
  return head;
}

// The matrix may be much larger than the rest, so it is written as it goes.
void Write(const v1::Evaluation& evaluation, std::ostream& out) {
  std::string head =
      HeadOf(evaluation).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  head.pop_back();  // the last brace
  out << head << ",\"confusion\":[";
  const int columns = std::max(evaluation.classes_size(), 1);
  for (int i = 0; i < evaluation.confusion_size(); ++i) {
    const bool begins = i % columns == 0;
    out << (begins ? (i == 0 ? "\n[" : "],\n[") : ",") << evaluation.confusion(i);
  }
  out << (evaluation.confusion_size() > 0 ? "]]}\n" : "]}\n");
}

absl::StatusOr<v1::Artifact> WriteFile(const v1::Evaluation& evaluation,
                                       const std::string& run_directory) {
  v1::Artifact artifact;
  artifact.set_kind("evaluation");
  artifact.set_path(absl::StrCat("evaluation-", evaluation.split(), ".json"));
  const std::string path = absl::StrCat(run_directory, "/", artifact.path());
  const std::string part = path + ".part";
  errno = 0;
  std::ofstream out(part);
  Write(evaluation, out);
  out.close();
  std::error_code error;
  if (out) {
    std::filesystem::rename(part, path, error);
  }
  if (!out || error) {
    return ErrnoStatus(error ? error.value() : errno, path);
  }
  const uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error) {
    return ErrnoStatus(error.value(), path);
  }
  artifact.set_bytes(static_cast<int64_t>(bytes));
  HONE_ASSIGN_OR_RETURN(*artifact.mutable_sha256(), Sha256OfFile(path));
  return artifact;
}

void Shorten(v1::Evaluation& evaluation) {
  evaluation.clear_confusion();
  auto& classes = *evaluation.mutable_classes();
  if (classes.size() <= kClassesOfASummary) {
    return;
  }
  std::stable_sort(classes.pointer_begin(), classes.pointer_end(),
                   [](const auto* a, const auto* b) { return a->f1() < b->f1(); });
  classes.DeleteSubrange(kClassesOfASummary, classes.size() - kClassesOfASummary);
}

}  // namespace

absl::StatusOr<std::optional<v1::Artifact>> Summarise(v1::Evaluation& evaluation,
                                                      const std::string& run_directory) {
  if (evaluation.ByteSizeLong() <= kMostEvaluationBytes) {
    return std::nullopt;
  }
  absl::StatusOr<v1::Artifact> file = WriteFile(evaluation, run_directory);
  Shorten(evaluation);
  HONE_RETURN_IF_ERROR(file.status());
  return *std::move(file);
}

}  // namespace hone::server::worker
