#include "server/rpc/admit.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "engine/base/traceparent.h"

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

}  // namespace hone::server::rpc
