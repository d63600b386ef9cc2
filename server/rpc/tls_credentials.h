#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "server/tls/certificates.h"

namespace hone::server::rpc {

// gRPC's TLS with the identity that `certificates` has when a connection begins; TLS 1.2 and up. A
// client's certificate is asked for where there is an authority for it, and a wrong one ends the
// connection; whether a client without one may call is for admission to say. `certificates`
// outlives every connection. gRPC is running: there is a ServerBuilder.
std::shared_ptr<grpc::ServerCredentials> TlsCredentials(const tls::Certificates& certificates);

}  // namespace hone::server::rpc
