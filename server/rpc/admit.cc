#include "server/rpc/admit.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <memory>
#include <vector>

namespace hone::server::rpc {

access::Credentials CredentialsOf(const grpc::CallbackServerContext& context) {
  access::Credentials credentials;
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

}  // namespace hone::server::rpc
