#include "server/access/role.h"

#include <algorithm>
#include <iterator>

namespace hone::server::access {
namespace {

struct Entry {
  absl::string_view rpc;
  Role least;
};

constexpr Entry kLeast[] = {
    {"GetJob", Role::kViewer},
    {"ListJobs", Role::kViewer},
    {"WatchJob", Role::kViewer},
    {"GetMetricHistory", Role::kViewer},
    {"ListArtifacts", Role::kViewer},
    {"DownloadArtifact", Role::kViewer},
    {"GetServerInfo", Role::kViewer},
    {"ListModels", Role::kViewer},
    {"GetModel", Role::kViewer},
    {"DownloadModel", Role::kViewer},
    {"GetDataset", Role::kViewer},
    {"ListDatasets", Role::kViewer},
    {"GetDatasetValidation", Role::kViewer},
    {"GetSweep", Role::kViewer},
    {"ListSweeps", Role::kViewer},
    {"WatchSweep", Role::kViewer},

    {"CreateJob", Role::kSubmitter},
    {"CancelJob", Role::kSubmitter},
    {"PauseJob", Role::kSubmitter},
    {"ResumeJob", Role::kSubmitter},
    {"RetryJob", Role::kSubmitter},
    {"UpdateJob", Role::kSubmitter},
    {"CreateSweep", Role::kSubmitter},
    {"CancelSweep", Role::kSubmitter},
    {"BeginUpload", Role::kSubmitter},
    {"UploadDataset", Role::kSubmitter},
    {"ValidateDataset", Role::kSubmitter},
    {"ImportModel", Role::kSubmitter},
    {"Predict", Role::kSubmitter},
    {"Generate", Role::kSubmitter},

    {"DeleteJob", Role::kOperator},
    {"DeleteModel", Role::kOperator},
    {"UpdateModel", Role::kOperator},
    {"DeleteDataset", Role::kOperator},
    {"DeleteSweep", Role::kOperator},

    {"GetProject", Role::kViewer},
    {"ListProjects", Role::kAdmin},
    {"UpdateProject", Role::kAdmin},
    {"CreateToken", Role::kAdmin},
    {"ListTokens", Role::kAdmin},
    {"RevokeToken", Role::kAdmin},
};

}  // namespace

absl::string_view RoleName(Role role) {
  switch (role) {
    case Role::kViewer:
      return "viewer";
    case Role::kSubmitter:
      return "submitter";
    case Role::kOperator:
      return "operator";
    case Role::kAdmin:
      return "admin";
  }
  return "";
}

std::optional<Role> RoleOfName(absl::string_view name) {
  const auto* const role = std::ranges::find(kRoles, name, RoleName);
  return role == std::end(kRoles) ? std::nullopt : std::optional(*role);
}

std::optional<Role> LeastRoleFor(absl::string_view rpc) {
  const auto* const entry = std::ranges::find(kLeast, rpc, &Entry::rpc);
  return entry == std::end(kLeast) ? std::nullopt : std::optional(entry->least);
}

}  // namespace hone::server::access
