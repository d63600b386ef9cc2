#include "server/rpc/self_check.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <chrono>
#include <memory>
#include <utility>

#include "grpc/health/v1/health.grpc.pb.h"
#include "server/log/log.h"

namespace hone::server::rpc {
namespace {

constexpr std::chrono::seconds kEvery(5);
constexpr std::chrono::seconds kMostTime(3);

// Whoever answers: the certificate is for the name by which clients know this machine. gRPC wants
// an authority all the same, and a machine may have none.
std::shared_ptr<grpc::ChannelCredentials> AnyCertificate(const std::string& authority) {
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(
      std::make_shared<grpc::experimental::StaticDataCertificateProvider>(authority));
  options.watch_root_certs();
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  options.set_certificate_verifier(std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
  return grpc::experimental::TlsCredentials(options);
}

}  // namespace

SelfCheck::SelfCheck(std::string dialed, const tls::Certificates* certificates)
    : dialed_(std::move(dialed)), certificates_(certificates) {
  Check();
  thread_ = std::thread([this] { Loop(); });
}

void SelfCheck::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void SelfCheck::Loop() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kEvery, [this] { return stopping_; })) {
    lock.unlock();
    Check();
    lock.lock();
  }
}

void SelfCheck::Check() {
  // A connection of its own: an old one would say nothing about the next client's.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const auto stub = grpc::health::v1::Health::NewStub(grpc::CreateCustomChannel(
      dialed_,
      certificates_ == nullptr ? grpc::InsecureChannelCredentials()
                               : AnyCertificate(certificates_->Now()->certificate),
      arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kMostTime);
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status =
      stub->Check(&context, grpc::health::v1::HealthCheckRequest(), &response);
  const bool answered = status.ok();
  if (answered_.exchange(answered) && !answered) {
    log::Warning("not ready: a new connection to the server's own port is not answered",
                 {{"address", dialed_}, {"error", status.error_message()}});
  }
}

}  // namespace hone::server::rpc
