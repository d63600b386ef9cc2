#include "server/rpc/connections.h"

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"

namespace hone::server::rpc {
namespace {

// RFC 9113, section 3.4.
constexpr absl::string_view kGreeting = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// Of what a client is sent and does not acknowledge: then it is gone.
constexpr unsigned kUnacknowledgedMilliseconds = 20'000;

net::Look LookForHttp2(absl::string_view said) {
  if (said.size() < kGreeting.size()) {
    return absl::StartsWith(kGreeting, said) ? net::Look::kMore : net::Look::kClose;
  }
  return absl::StartsWith(said, kGreeting) ? net::Look::kEnter : net::Look::kClose;
}

// RFC 8446, section 5.1: a kind, a version and a length of 16 bits, then the record.
constexpr size_t kRecordHeader = 5;
constexpr size_t kMostOfRecord = size_t{1} << 14;
constexpr char kHandshakeRecord = 22;
constexpr char kMajorVersion = 3;

// A whole ClientHello, so that gRPC waits for nobody who is silent after a piece of it.
net::Look LookForTls(absl::string_view said) {
  if (said[0] != kHandshakeRecord || (said.size() > 1 && said[1] != kMajorVersion)) {
    return net::Look::kClose;
  }
  if (said.size() < kRecordHeader) {
    return net::Look::kMore;
  }
  const size_t length = size_t{static_cast<unsigned char>(said[3])} << 8 |
                        size_t{static_cast<unsigned char>(said[4])};
  if (length > kMostOfRecord) {
    return net::Look::kClose;
  }
  return said.size() < kRecordHeader + length ? net::Look::kMore : net::Look::kEnter;
}

}  // namespace

ConnectionLimits LimitsFor(uint64_t descriptors) {
  const size_t open = std::clamp<uint64_t>(descriptors * 3 / 8, 8, 4096);
  return {.open = {.all = open, .of_one_address = open / 2, .silent = open / 4},
          .waiting = std::clamp<uint64_t>(descriptors / 8, 8, 256)};
}

ConnectionLimits HttpLimitsFor(uint64_t descriptors) {
  return {.open = {.all = std::clamp<uint64_t>(descriptors / 8, 8, 1024)},
          .waiting = std::clamp<uint64_t>(descriptors / 32, 8, 64)};
}

Connections::Connections(const ConnectionLimits& limits, Greeting greeting,
                         std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor,
                         Hooks hooks)
    : limits_(limits),
      greeting_(greeting),
      acceptor_(std::move(acceptor)),
      hooks_(std::move(hooks)),
      open_(limits.open) {}

absl::Status Connections::Begin(const std::string& address) {
  absl::StatusOr<std::unique_ptr<net::Door>> door = net::Door::Open(
      {.address = address,
       .most_waiting = limits_.waiting,
       // No more than the greeting, so that gRPC's own threads read the first call.
       .most_said = greeting_ == Greeting::kTls ? kRecordHeader + kMostOfRecord : kGreeting.size(),
       .look = greeting_ == Greeting::kTls ? LookForTls : LookForHttp2,
       .enter = [this](net::Connection connection,
                       const std::string& said) { Enter(std::move(connection), said); },
       .turned_away = hooks_.refused,
       .lost = hooks_.lost});
  if (!door.ok()) {
    return door.status();
  }
  door_ = *std::move(door);
  return absl::OkStatus();
}

void Connections::Enter(net::Connection connection, const std::string& said) {
  const std::string peer = connection.Peer();
  OwnedFd fd = connection.Release();
  {
    const std::lock_guard lock(mutex_);
    if (!open_.Add(fd.get(), peer, said.size())) {
      return hooks_.refused();
    }
  }
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnacknowledgedMilliseconds,
               sizeof(kUnacknowledgedMilliseconds));
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
  const grpc::Slice slice(said);
  parameters.read_buffer = grpc::ByteBuffer(&slice, 1);
  parameters.fd = fd.Release();
  acceptor_->HandleNewConnection(&parameters);
}

void Connections::End() {
  if (door_ != nullptr) {
    door_->Close();
  }
}

size_t Connections::open() const {
  const std::lock_guard lock(mutex_);
  return open_.Count();
}

}  // namespace hone::server::rpc
