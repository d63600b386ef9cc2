#include "server/http/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "engine/base/status.h"
#include "server/log/log.h"
#include "server/net/door.h"

namespace hone::server::http {
namespace {

constexpr int kThreads = 2;
// Of bodies and answers as JSON, beside what the calls themselves keep.
constexpr int64_t kMostBytes = int64_t{64} << 20;
constexpr unsigned kUnacknowledgedMilliseconds = 20'000;
// In which the last answers reach their clients.
constexpr std::chrono::seconds kLastAnswers(1);

class HttpServer final : public Server {
 public:
  HttpServer(ServerOptions options, std::unique_ptr<Requests> requests)
      : options_(std::move(options)),
        requests_(std::move(requests)),
        calls_(options_.channel),
        budget_(kMostBytes),
        shared_{.io = io_,
                .requests = *requests_,
                .calls = calls_,
                .budget = budget_,
                .is_open = options_.is_open,
                .on_loopback = options_.on_loopback,
                .tls = options_.tls != nullptr,
                .times = options_.times} {}
  ~HttpServer() override { Finish(); }

  absl::Status Begin() {
    work_.emplace(io_.get_executor());
    for (std::thread& thread : threads_) {
      thread = std::thread([this] { io_.run(); });
    }
    HONE_ASSIGN_OR_RETURN(
        door_, net::Door::Open({.address = options_.address,
                                .most_waiting = options_.most_waiting,
                                // Whoever says something is a session, which has times of its own.
                                .look = [](absl::string_view) { return net::Look::kEnter; },
                                .enter =
                                    [this](net::Connection connection, std::string said) {
                                      Enter(std::move(connection), std::move(said));
                                    },
                                .turned_away = options_.refused,
                                .lost = options_.lost}));
    return absl::OkStatus();
  }

  int port() const override { return door_->port(); }

  size_t open() const override {
    const std::lock_guard lock(shared_.mutex);
    return shared_.open;
  }

  void BeginDrain() override {
    shared_.stopping = true;
    if (door_ != nullptr) {
      door_->Close();
    }
  }

  void WaitForCalls(absl::Duration most) override { calls_.WaitForAll(most); }

  void Finish() override {
    if (finished_) {
      return;
    }
    finished_ = true;
    BeginDrain();
    while (!calls_.WaitForAll(absl::Seconds(60))) {
      log::Error("calls of HTTP do not end");
    }
    {
      std::unique_lock lock(shared_.mutex);
      shared_.changed.wait_for(lock, kLastAnswers, [this] { return shared_.busy == 0; });
    }
    io_.stop();
    for (std::thread& thread : threads_) {
      if (thread.joinable()) {
        thread.join();
      }
    }
  }

 private:
  void Enter(net::Connection connection, std::string said) {
    if (open() >= options_.most_open) {
      return options_.refused();
    }
    std::string peer = connection.Peer();
    OwnedFd fd = connection.Release();
    constexpr int kOn = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &kOn, sizeof(kOn));
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnacknowledgedMilliseconds,
                 sizeof(kUnacknowledgedMilliseconds));
    const std::shared_ptr<SSL_CTX> context = options_.tls == nullptr ? nullptr : options_.tls();
    BeginSession(shared_, std::move(fd), context.get(), std::move(said), std::move(peer));
  }

  const ServerOptions options_;
  const std::unique_ptr<Requests> requests_;
  Calls calls_;
  rpc::ByteBudget budget_;
  bool finished_ = false;
  mutable Shared shared_;
  // Sessions end with it, and everything above outlives them.
  boost::asio::io_context io_{kThreads};
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
  std::array<std::thread, kThreads> threads_;
  std::unique_ptr<net::Door> door_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options) {
  HONE_ASSIGN_OR_RETURN(std::unique_ptr<Requests> requests, Requests::Of(options.services));
  auto server = std::make_unique<HttpServer>(std::move(options), std::move(requests));
  HONE_RETURN_IF_ERROR(server->Begin());
  return server;
}

}  // namespace hone::server::http
