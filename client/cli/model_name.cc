#include "client/cli/model_name.h"

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/local_job.h"

namespace hone::client::cli {

absl::StatusOr<std::string> FindModelFolder(const std::string& model) {
  std::error_code error;
  const std::string folder = ModelFolder(model);
  if (folder == model && std::filesystem::exists(absl::StrCat(folder, "/job.yaml"), error)) {
    return absl::FailedPreconditionError(absl::StrCat(
        folder, " is a run that has no model yet; continue it with: hone run --resume ", folder));
  }
  // A path has a slash and is no `models/<id>`.
  if (folder.empty() && absl::StrContains(model, '/') && !absl::StartsWith(model, "models/")) {
    return absl::NotFoundError(
        absl::StrCat("no folder ", model, "; give a model's folder, or models/<id>"));
  }
  return folder;
}

}  // namespace hone::client::cli
