#include "client/cli/model_name.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/command.h"
#include "client/cli/local_job.h"
#include "engine/base/status.h"

namespace hone::client::cli {
namespace {

constexpr int kMostNamed = 20;  // models in an error

// The names of the server's models that a person means by `model`: of the one that has this name or
// id, else of those with this display name, the newest first, at most `most`. NOT_FOUND: there is
// none.
absl::StatusOr<std::vector<std::string>> FindServerModels(Client& client, const std::string& model,
                                                          int most) {
  if (absl::StartsWith(model, "models/")) {
    return std::vector<std::string>{model};
  }
  const std::string name = ResourceName("models", model);
  const absl::Status known = client.GetModel(name).status();
  if (known.ok()) {
    return std::vector<std::string>{name};
  }
  if (!absl::IsNotFound(known) && !absl::IsInvalidArgument(known)) {
    return known;
  }
  v1::ListModelsRequest request;
  request.set_display_name(model);
  request.set_page_size(most);
  HONE_ASSIGN_OR_RETURN(const v1::ListModelsResponse found, client.ListModels(request));
  if (found.models().empty()) {
    return absl::NotFoundError(absl::StrCat("there is no model ", name, ", and none is called ",
                                            model, "; see: hone models list"));
  }
  std::vector<std::string> names;
  for (const v1::Model& one : found.models()) {
    names.push_back(one.name());
  }
  return names;
}

absl::Status NameModel(Client& client, absl::string_view before, absl::string_view field,
                       std::string& model) {
  absl::StatusOr<std::string> name = FindServerModel(client, model);
  HONE_RETURN_IF_ERROR(Annotate(name.status(), absl::StrCat(before, field)));
  model = *std::move(name);
  return absl::OkStatus();
}

absl::Status FolderError(absl::string_view before, absl::string_view path,
                         absl::string_view instead) {
  return absl::InvalidArgumentError(absl::StrCat(before, path,
                                                 ": is a folder of this machine; a server takes `",
                                                 before, instead, "`, one of its own"));
}

}  // namespace

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
  HONE_ASSIGN_OR_RETURN(std::vector<std::string> names,
                        FindServerModels(client, model, /*most=*/1));
  return std::move(names.front());
}

absl::StatusOr<v1::Model> GetServerModel(Client& client, const std::string& model) {
  HONE_ASSIGN_OR_RETURN(const std::string name, FindServerModel(client, model));
  return client.GetModel(name);
}

absl::StatusOr<std::string> FindOnlyServerModel(Client& client, const std::string& model) {
  HONE_ASSIGN_OR_RETURN(std::vector<std::string> names,
                        FindServerModels(client, model, kMostNamed + 1));
  if (names.size() == 1) {
    return std::move(names.front());
  }
  if (names.size() > kMostNamed) {
    names.resize(kMostNamed);
    names.emplace_back("more");
  }
  return absl::InvalidArgumentError(absl::StrCat("several models are called ", model,
                                                 "; say which one: ", absl::StrJoin(names, ", ")));
}

absl::Status NameModels(Client& client, const jobfile::LocalPaths& paths, absl::string_view before,
                        v1::JobSpec& spec) {
  if (!paths.pretrained.empty()) {
    return FolderError(before, "model.pretrained.path", "model.pretrained.model");
  }
  if (!paths.classifier.empty()) {
    return FolderError(before, "image_generation.evaluation.path",
                       "image_generation.evaluation.classifier");
  }
  if (!spec.model().pretrained().model().empty()) {
    HONE_RETURN_IF_ERROR(NameModel(client, before, "model.pretrained.model",
                                   *spec.mutable_model()->mutable_pretrained()->mutable_model()));
  }
  if (!spec.image_generation().evaluation().classifier().empty()) {
    HONE_RETURN_IF_ERROR(
        NameModel(client, before, "image_generation.evaluation.classifier",
                  *spec.mutable_image_generation()->mutable_evaluation()->mutable_classifier()));
  }
  return absl::OkStatus();
}

}  // namespace hone::client::cli
