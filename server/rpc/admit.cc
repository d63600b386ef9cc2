#include "server/rpc/admit.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "engine/base/traceparent.h"
#include "server/http/metadata.h"
#include "server/jobs/job.h"
#include "server/store/sweep_store.h"

namespace hone::server::rpc {

namespace {

// What the metadata say, once; "": nothing.
std::string Said(const grpc::CallbackServerContext& context, const char* name) {
  const auto found = context.client_metadata().find(name);
  return found == context.client_metadata().end()
             ? ""
             : std::string(found->second.data(), found->second.size());
}

// By HTTP, within this process. What its metadata say of the client is true.
bool IsFromHttp(const grpc::CallbackServerContext& context) {
  return http::IsKey(Said(context, http::kKeyMetadata));
}

}  // namespace

std::string PeerOf(const grpc::CallbackServerContext& context) {
  return IsFromHttp(context) ? Said(context, http::kPeerMetadata) : context.peer();
}

access::Credentials CredentialsOf(const grpc::CallbackServerContext& context) {
  access::Credentials credentials;
  credentials.peer = PeerOf(context);
  credentials.authorization = Said(context, "authorization");
  credentials.project = Said(context, "hone-project");
  if (IsFromHttp(context)) {
    credentials.has_certificate = context.client_metadata().count(http::kCertificateMetadata) > 0;
    credentials.certificate_name = Said(context, http::kCertificateMetadata);
    return credentials;
  }
  // Of all ports of this server, only the one in its folder is no TCP.
  credentials.is_owner = absl::StartsWith(context.peer(), "unix:");
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

std::string TraceparentOf(const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("traceparent");
  if (found == metadata.end()) {
    return "";
  }
  std::string text(found->second.data(), found->second.size());
  return IsTraceparent(text) ? text : "";
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
