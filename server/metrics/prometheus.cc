#include "server/metrics/prometheus.h"

#include <poll.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/steady_clock.h"
#include "prometheus/text_serializer.h"
#include "server/log/log.h"
#include "server/net/door.h"

namespace hone::server::metrics {
namespace {

constexpr size_t kMostWaiting = 16;
constexpr absl::Duration kPatience = absl::Seconds(5);
constexpr size_t kMostScrapes = 8;
constexpr int kScrapers = 2;
// For a whole answer.
constexpr absl::Duration kMostTimeToSend = absl::Seconds(2);
constexpr char kText[] = "text/plain";
constexpr char kPrometheusText[] = "text/plain; version=0.0.4; charset=utf-8";

struct Request {
  bool known = false;  // GET or HEAD
  bool head = false;
  std::string path;  // without what follows a '?'
  std::string authorization;
};

Request ParseRequest(absl::string_view said) {
  const std::vector<absl::string_view> line =
      absl::StrSplit(said.substr(0, said.find_first_of("\r\n")), ' ');
  Request request;
  if (line.size() == 3 && absl::StartsWith(line[2], "HTTP/1.")) {
    request.head = line[0] == "HEAD";
    request.known = request.head || line[0] == "GET";
    request.path = std::string(line[1].substr(0, line[1].find('?')));
  }
  for (const absl::string_view header : absl::StrSplit(said, "\r\n")) {
    const size_t colon = header.find(':');
    if (colon != absl::string_view::npos &&
        absl::EqualsIgnoreCase(header.substr(0, colon), "authorization")) {
      request.authorization = std::string(absl::StripAsciiWhitespace(header.substr(colon + 1)));
    }
  }
  return request;
}

net::Look LookAt(absl::string_view said) {
  return absl::StrContains(said, "\r\n\r\n") ? net::Look::kEnter : net::Look::kMore;
}

std::string Response(absl::string_view status, absl::string_view type, absl::string_view body,
                     bool head) {
  return absl::StrCat("HTTP/1.1 ", status, "\r\nContent-Type: ", type,
                      "\r\nContent-Length: ", body.size(), "\r\nConnection: close\r\n\r\n",
                      head ? "" : body);
}

// What the connection's buffer takes within `most`; what it does not take is lost.
void Send(net::Connection& connection, absl::string_view bytes, absl::Duration most) {
  const absl::Duration until = SteadyNow() + most;
  while (!bytes.empty()) {
    size_t sent = 0;
    const net::Connection::Result result = connection.Write(bytes, sent);
    if (result == net::Connection::Result::kDone) {
      bytes.remove_prefix(sent);
      continue;
    }
    const absl::Duration left = until - SteadyNow();
    if (result == net::Connection::Result::kEnd || left <= absl::ZeroDuration()) {
      break;
    }
    pollfd ready = {.fd = connection.fd(), .events = connection.awaited(), .revents = 0};
    ::poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
  }
  connection.End();
}

// The probes are answered on the door's thread, from memory; /metrics, which asks the store and may
// have a slow reader, on others.
class Endpoint final : public HttpEndpoint {
 public:
  Endpoint(EndpointOptions options, Registry& registry)
      : options_(std::move(options)), registry_(registry) {}
  ~Endpoint() override {
    door_.reset();
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : scrapers_) {
      thread.join();
    }
  }

  absl::Status Begin() {
    auto door = net::Door::Open(
        {.address = options_.address,
         .most_waiting = kMostWaiting,
         .patience = kPatience,
         .tls = options_.tls,
         .look = LookAt,
         .enter = [this](net::Connection connection,
                         const std::string& said) { Answer(std::move(connection), said); },
         .turned_away = [] {},
         .lost =
             [](const absl::Status& reason) {
               log::Error("/metrics, /healthz and /readyz are no longer answered",
                          {{"error", reason.message()}});
             }});
    if (!door.ok()) {
      return door.status();
    }
    door_ = *std::move(door);
    for (int i = 0; i < kScrapers; ++i) {
      scrapers_.emplace_back([this] { Scrape(); });
    }
    return absl::OkStatus();
  }

  int port() const override { return door_->port(); }

 private:
  struct Waiting {
    net::Connection connection;
    Request request;
  };

  void Answer(net::Connection connection, const std::string& said) {
    Request request = ParseRequest(said);
    if (request.known && request.path == "/metrics") {
      const std::lock_guard lock(mutex_);
      if (waiting_.size() < kMostScrapes) {
        waiting_.push_back({std::move(connection), std::move(request)});
        return changed_.notify_one();
      }
    }
    Send(connection, AtOnce(request), absl::ZeroDuration());
  }

  std::string AtOnce(const Request& request) const {
    if (!request.known) {
      return Response("400 Bad Request", kText, "GET or HEAD of /metrics, /healthz or /readyz\n",
                      request.head);
    }
    if (request.path == "/healthz") {
      return Response("200 OK", kText, "ok\n", request.head);
    }
    if (request.path == "/readyz") {
      return options_.ready()
                 ? Response("200 OK", kText, "ready\n", request.head)
                 : Response("503 Service Unavailable", kText, "not ready\n", request.head);
    }
    if (request.path == "/metrics") {
      return Response("503 Service Unavailable", kText, "too many scrapes at a time\n",
                      request.head);
    }
    return Response("404 Not Found", kText, "/metrics, /healthz or /readyz\n", request.head);
  }

  std::string Metrics(const Waiting& from) const {
    const absl::Status admitted =
        options_.admit({.peer = from.connection.Peer(),
                        .authorization = from.request.authorization,
                        .has_certificate = from.connection.HasClientCertificate(),
                        .certificate_name = from.connection.ClientCertificateName()});
    if (admitted.ok()) {
      return Response("200 OK", kPrometheusText, Render(registry_), from.request.head);
    }
    const std::string why = absl::StrCat(admitted.message(), "\n");
    return absl::IsUnauthenticated(admitted)
               ? Response("401 Unauthorized\r\nWWW-Authenticate: Bearer", kText, why,
                          from.request.head)
               : Response("403 Forbidden", kText, why, from.request.head);
  }

  void Scrape() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (stopping_) {
        return;
      }
      Waiting next = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      Send(next.connection, Metrics(next), kMostTimeToSend);
      lock.lock();
    }
  }

  const EndpointOptions options_;
  Registry& registry_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Waiting> waiting_;  // for /metrics; guarded by mutex_
  bool stopping_ = false;        // guarded by mutex_
  std::vector<std::thread> scrapers_;
  std::unique_ptr<net::Door> door_;
};

}  // namespace

std::string Render(Registry& registry) {
  std::ostringstream text;
  ::prometheus::TextSerializer().Serialize(text, registry.Collect());
  return text.str();
}

absl::StatusOr<std::unique_ptr<HttpEndpoint>> HttpEndpoint::Start(EndpointOptions options,
                                                                  Registry& registry) {
  auto endpoint = std::make_unique<Endpoint>(std::move(options), registry);
  if (absl::Status status = endpoint->Begin(); !status.ok()) {
    return status;
  }
  return endpoint;
}

}  // namespace hone::server::metrics
