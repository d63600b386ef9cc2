#include "server/rpc/admit.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "server/jobs/job.h"
#include "server/store/sweep_store.h"

namespace hone::server::rpc {

access::Credentials CredentialsOf(const grpc::CallbackServerContext& context) {
  access::Credentials credentials;
  credentials.peer = context.peer();
  // Of all ports of this server, only the one in its folder is no TCP.
  credentials.is_owner = absl::StartsWith(credentials.peer, "unix:");
  const auto& metadata = context.client_metadata();
  if (const auto found = metadata.find("authorization"); found != metadata.end()) {
    credentials.authorization.assign(found->second.data(), found->second.size());
  }
  if (const auto found = metadata.find("hone-project"); found != metadata.end()) {
    credentials.project.assign(found->second.data(), found->second.size());
  }
  const std::shared_ptr<const grpc::AuthContext> connection = context.auth_context();
  // TLS ends a connection whose certificate is not of an authority of ours.
  if (connection != nullptr && connection->IsPeerAuthenticated()) {
    credentials.has_certificate = true;
    const std::vector<grpc::string_ref> names =
        connection->FindPropertyValues(GRPC_X509_CN_PROPERTY_NAME);
    if (!names.empty()) {
      credentials.certificate_name.assign(names[0].data(), names[0].size());
    }
  }
  return credentials;
}

absl::Status CheckIsOfCaller(absl::string_view name, const access::Caller& caller,
                             const Deps& deps) {
  absl::StatusOr<std::string> project = caller.project;
  absl::Status missing;
  if (const auto job = jobs::JobId(name); job.ok()) {
    project = deps.store.ProjectOfJob(*job);
    missing = jobs::JobNotFound(*job);
  } else if (const auto model = jobs::ModelId(name); model.ok()) {
    project = deps.store.ProjectOfModel(*model);
    missing = jobs::ModelNotFound(*model);
  } else if (const auto sweep = store::SweepId(name); sweep.ok()) {
    project = deps.store.sweeps().ProjectOf(*sweep);
    missing = store::SweepNotFound(*sweep);
  }
  return !project.ok() ? project.status() : *project == caller.project ? absl::OkStatus() : missing;
}

}  // namespace hone::server::rpc
