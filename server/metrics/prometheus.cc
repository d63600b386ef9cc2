#include "server/metrics/prometheus.h"

#include <httplib.h>
#include <sys/socket.h>

#include <chrono>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "prometheus/text_serializer.h"

namespace hone::server::metrics {
namespace {

class Endpoint final : public HttpEndpoint {
 public:
  ~Endpoint() override {
    server_.stop();
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  absl::Status Listen(const std::string& address, Registry& registry, std::function<bool()> ready) {
    const size_t colon = address.rfind(':');
    int port = 0;
    if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port)) {
      return absl::InvalidArgumentError(absl::StrCat("must be HOST:PORT, got \"", address, "\""));
    }
    server_.Get("/metrics", [&registry](const httplib::Request&, httplib::Response& response) {
      response.set_content(Render(registry), "text/plain; version=0.0.4; charset=utf-8");
    });
    server_.Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
      response.set_content("ok\n", "text/plain");
    });
    server_.Get("/readyz",
                [ready = std::move(ready)](const httplib::Request&, httplib::Response& response) {
                  const bool is_ready = ready();
                  response.status = is_ready ? 200 : 503;
                  response.set_content(is_ready ? "ready\n" : "not ready\n", "text/plain");
                });
    server_.new_task_queue = [] { return new httplib::ThreadPool(2); };
    server_.set_read_timeout(5);
    server_.set_write_timeout(5);
    server_.set_payload_max_length(4096);
    // The library's own choice would let a second server share the port.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    const std::string host = address.substr(0, colon);
    port_ =
        port == 0 ? server_.bind_to_any_port(host) : (server_.bind_to_port(host, port) ? port : -1);
    if (port_ < 0) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", address,
                                                 ": the address is taken or not of this machine"));
    }
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    // stop() does nothing before the loop runs.
    while (!server_.is_running()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return absl::OkStatus();
  }

  int port() const override { return port_; }

 private:
  httplib::Server server_;
  std::thread thread_;
  int port_ = -1;
};

}  // namespace

std::string Render(Registry& registry) {
  std::ostringstream text;
  ::prometheus::TextSerializer().Serialize(text, registry.Collect());
  return text.str();
}

absl::StatusOr<std::unique_ptr<HttpEndpoint>> HttpEndpoint::Start(const std::string& address,
                                                                  Registry& registry,
                                                                  std::function<bool()> ready) {
  auto endpoint = std::make_unique<Endpoint>();
  if (absl::Status status = endpoint->Listen(address, registry, std::move(ready)); !status.ok()) {
    return status;
  }
  return endpoint;
}

}  // namespace hone::server::metrics
