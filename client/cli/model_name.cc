#include "client/cli/model_name.h"

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/local_job.h"
#include "engine/base/status.h"

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

absl::StatusOr<std::string> FindServerModel(Client& client, const std::string& model) {
  if (absl::StartsWith(model, "models/")) {
    return model;
  }
  const std::string name = ResourceName("models", model);
  const absl::Status known = client.GetModel(name).status();
  if (known.ok()) {
    return name;
  }
  if (!absl::IsNotFound(known) && !absl::IsInvalidArgument(known)) {
    return known;
  }
  v1::ListModelsRequest request;
  request.set_display_name(model);
  request.set_page_size(1);
  HONE_ASSIGN_OR_RETURN(const v1::ListModelsResponse found, client.ListModels(request));
  if (found.models().empty()) {
    return absl::NotFoundError(absl::StrCat("there is no model ", name, ", and none is called ",
                                            model, "; see: hone models list"));
  }
  return found.models(0).name();
}

absl::Status NamePretrained(Client& client, v1::JobSpec& spec) {
  if (spec.model().pretrained().model().empty()) {
    return absl::OkStatus();
  }
  std::string& model = *spec.mutable_model()->mutable_pretrained()->mutable_model();
  absl::StatusOr<std::string> name = FindServerModel(client, model);
  HONE_RETURN_IF_ERROR(Annotate(name.status(), "model.pretrained.model"));
  model = *std::move(name);
  return absl::OkStatus();
}

}  // namespace hone::client::cli
