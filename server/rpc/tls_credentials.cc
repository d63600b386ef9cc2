#include "server/rpc/tls_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <string>
#include <type_traits>
#include <utility>

namespace hone::server::rpc {
namespace {

// gRPC asks for the certificate at each connection (its C++ interface has one that is fixed, and
// one that reads files itself and takes a pair that does not match). Only this part of the C
// interface keeps the old one where the new one cannot be had.
struct Source {
  const tls::Certificates& certificates;
  int64_t given = 0;  // gRPC calls for one connection at a time
};

grpc_ssl_certificate_config_reload_status Fetch(void* source,
                                                grpc_ssl_server_certificate_config** config) {
  auto& from = *static_cast<Source*>(source);
  const std::shared_ptr<const tls::Identity> identity = from.certificates.Now();
  if (identity->version == from.given) {
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  }
  const grpc_ssl_pem_key_cert_pair pair = {.private_key = identity->key.c_str(),
                                           .cert_chain = identity->certificate.c_str()};
  // gRPC wants authorities also where it asks nobody for a certificate, and does not use them then.
  const std::string& authorities =
      identity->client_ca.empty() ? identity->certificate : identity->client_ca;
  *config = grpc_ssl_server_certificate_config_create(authorities.c_str(), &pair, 1);
  from.given = identity->version;
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

// Up to gRPC 1.5x ServerCredentials is abstract and adds the port itself; later it holds what it is
// made of. `Base` is ServerCredentials: as a parameter, so that only the one that fits is compiled.
template <typename Base>
class AddingPort final : public Base {
 public:
  AddingPort(grpc_server_credentials* credentials, std::unique_ptr<Source> source)
      : source_(std::move(source)), credentials_(credentials) {}
  ~AddingPort() override { grpc_server_credentials_release(credentials_); }
  // Refuses in its own way and only where there is TLS: admission does without.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  const std::unique_ptr<Source> source_;
  grpc_server_credentials* const credentials_;
};

template <typename Base>
class Holding final : public Base {
 public:
  Holding(grpc_server_credentials* credentials, std::unique_ptr<Source> source)
      : Base(credentials), source_(std::move(source)) {}

 private:
  const std::unique_ptr<Source> source_;
};

using Credentials =
    std::conditional_t<std::is_abstract_v<grpc::ServerCredentials>,
                       AddingPort<grpc::ServerCredentials>, Holding<grpc::ServerCredentials>>;

}  // namespace

std::shared_ptr<grpc::ServerCredentials> TlsCredentials(const tls::Certificates& certificates) {
  auto source = std::make_unique<Source>(Source{certificates});
  grpc_ssl_server_credentials_options* const options =
      grpc_ssl_server_credentials_create_options_using_config_fetcher(
          certificates.Now()->client_ca.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                                : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY,
          Fetch, source.get());
  return std::make_shared<Credentials>(grpc_ssl_server_credentials_create_with_options(options),
                                       std::move(source));
}

}  // namespace hone::server::rpc
