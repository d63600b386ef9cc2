#include "server/webhooks/sender.h"

#include <curl/curl.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/steady_clock.h"
#include "server/log/log.h"
#include "server/webhooks/webhook.h"

namespace hone::server::webhooks {
namespace {

using metrics::Metric;

constexpr std::chrono::seconds kLookEvery(1);
constexpr long kConnectMilliseconds = 5000;
// Of an answer, which nobody reads.
constexpr size_t kMostAnswer = 64 << 10;
// Before a delivery is given up, however old it is.
constexpr int kLeastTries = 20;
// Between looks at whether to stop.
constexpr int kPollMilliseconds = 200;

// One post that is under way.
struct Request {
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl{nullptr, curl_easy_cleanup};
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers{nullptr, curl_slist_free_all};
  const AddressRule* addresses = nullptr;
  bool any_address = false;  // its host is allowed by name
  bool refused = false;      // an address that it led to
  size_t answer = 0;         // bytes of it
  char error[CURL_ERROR_SIZE] = "";

  void AddHeader(const std::string& header) {
    curl_slist* const more = curl_slist_append(headers.get(), header.c_str());
    if (more != nullptr) {
      static_cast<void>(headers.release());
      headers.reset(more);
    }
  }
};

// The one place where an address is looked at: whatever the name led to just now.
curl_socket_t OpenSocket(void* user, curlsocktype, curl_sockaddr* address) {
  auto* const request = static_cast<Request*>(user);
  if (!request->any_address && !request->addresses->Allows(address->addr)) {
    request->refused = true;
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

size_t IgnoreAnswer(char*, size_t, size_t bytes, void* user) {
  auto* const request = static_cast<Request*>(user);
  request->answer += bytes;
  return request->answer > kMostAnswer ? 0 : bytes;
}

std::unique_ptr<Request> Begin(const store::DueDelivery& delivery, const AddressRule& addresses) {
  auto request = std::make_unique<Request>();
  request->curl.reset(curl_easy_init());
  request->addresses = &addresses;
  CURL* const curl = request->curl.get();
  if (curl == nullptr) {
    return nullptr;
  }
  const absl::StatusOr<UrlParts> url = ParseUrl(delivery.url);
  request->any_address = url.ok() && addresses.AllowsHost(url->host);
  request->AddHeader("Content-Type: application/json");
  request->AddHeader(absl::StrCat("Hone-Delivery: ", delivery.id));
  request->AddHeader(
      absl::StrCat("Hone-Signature: ", Signature(delivery.secret, absl::Now(), delivery.body)));
  request->AddHeader("Expect:");  // it would cost a second where nobody answers to it
  curl_easy_setopt(curl, CURLOPT_URL, delivery.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");  // which would connect for us, to whatever it is asked
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "honed");
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, request->headers.get());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                   static_cast<curl_off_t>(delivery.body.size()));
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, delivery.body.data());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectMilliseconds);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
                   static_cast<long>(absl::ToInt64Milliseconds(Sender::kLongest)));
  curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, OpenSocket);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, request.get());
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, IgnoreAnswer);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, request.get());
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, request->error);
  return request;
}

// Also where the clock was set, and after a server that was away for days, it had its tries.
bool IsOver(const store::DueDelivery& delivery, absl::Time now) {
  return now - delivery.created > Sender::kTryFor && delivery.attempts + 1 >= kLeastTries;
}

double Random() {
  thread_local std::minstd_rand generator(std::random_device{}());
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

}  // namespace

Sender::Sender(AddressRule addresses, const store::JobStore& store, store::Writer& writer,
               metrics::Registry& registry)
    : addresses_(std::move(addresses)), store_(store), writer_(writer), registry_(registry) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  for (const char* const outcome : {"delivered", "again", "given_up"}) {
    registry_.Add(Metric::kWebhookDeliveries, {outcome}, 0);
  }
}

Sender::~Sender() { Stop(); }

void Sender::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void Sender::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Sender::Wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wake_.notify_all();
}

bool Sender::Stopping() const {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void Sender::Loop() {
  while (!Stopping()) {
    const absl::StatusOr<std::vector<store::DueDelivery>> due =
        store_.webhooks().Due(absl::Now(), kAtOnce);
    if (!due.ok()) {
      log::Warning("what webhooks are to be told cannot be read",
                   {{"error", due.status().ToString()}});
    } else if (!due->empty()) {
      Record(*due, Post(*due));
      continue;
    }
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, kLookEvery, [this] { return woken_ || stopping_; });
    woken_ = false;
  }
}

std::vector<Sender::Outcome> Sender::Post(const std::vector<store::DueDelivery>& due) const {
  const std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)> all(curl_multi_init(),
                                                                  curl_multi_cleanup);
  std::vector<std::unique_ptr<Request>> requests;
  for (const store::DueDelivery& delivery : due) {
    requests.push_back(all == nullptr ? nullptr : Begin(delivery, addresses_));
    if (requests.back() != nullptr) {
      curl_multi_add_handle(all.get(), requests.back()->curl.get());
    }
  }
  int running = 1;
  bool stopped = false;
  while (all != nullptr && running > 0 && !stopped) {
    curl_multi_perform(all.get(), &running);
    if (running > 0) {
      curl_multi_poll(all.get(), nullptr, 0, kPollMilliseconds, nullptr);
    }
    stopped = Stopping();
  }
  std::vector<Outcome> outcomes(due.size(), Outcome{.status = 0, .error = "no memory for a call"});
  int left = 0;
  while (all != nullptr) {
    const CURLMsg* const message = curl_multi_info_read(all.get(), &left);
    if (message == nullptr) {
      break;
    }
    for (size_t i = 0; i < requests.size(); ++i) {
      if (requests[i] == nullptr || requests[i]->curl.get() != message->easy_handle) {
        continue;
      }
      Outcome& outcome = outcomes[i];
      curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &outcome.status);
      const CURLcode code = message->data.result;
      // An answer that is too long is one all the same.
      const bool answered = code == CURLE_OK || (code == CURLE_WRITE_ERROR && outcome.status > 0);
      if (answered && outcome.status >= 200 && outcome.status < 300) {
        outcome.error.clear();
      } else if (answered) {
        outcome.error = absl::StrCat("the answer was ", outcome.status);
      } else if (requests[i]->refused) {
        outcome.error =
            "the host's address is not of the open network; honed --webhook-allow HOST allows it";
      } else {
        outcome.error = *requests[i]->error != '\0' ? requests[i]->error : curl_easy_strerror(code);
      }
    }
  }
  for (const std::unique_ptr<Request>& request : requests) {
    if (request != nullptr) {
      curl_multi_remove_handle(all.get(), request->curl.get());
    }
  }
  return stopped ? std::vector<Outcome>() : outcomes;
}

void Sender::Record(const std::vector<store::DueDelivery>& due,
                    const std::vector<Outcome>& outcomes) {
  if (outcomes.empty()) {
    return;
  }
  const absl::Time now = absl::Now();
  const absl::Status recorded = writer_.RunStatus([&](store::JobStore& store) -> absl::Status {
    absl::Status first;
    for (size_t i = 0; i < due.size(); ++i) {
      const store::DueDelivery& delivery = due[i];
      const std::string& error = outcomes[i].error;
      first.Update(
          error.empty() ? store.webhooks().Delivered(delivery.id)
          : IsOver(delivery, now)
              ? store.webhooks().GiveUp(delivery.id, error)
              : store.webhooks().TryAgain(
                    delivery.id, now + DelayAfter(delivery.attempts + 1, Random()), error));
    }
    return first;
  });
  if (!recorded.ok()) {
    // They are due still, and would be posted again at once.
    log::Warning("what became of webhooks' deliveries cannot be stored",
                 {{"error", recorded.ToString()}});
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, kLookEvery, [this] { return stopping_; });
  }
  for (size_t i = 0; i < due.size(); ++i) {
    const bool over = IsOver(due[i], now);
    const char* const outcome = outcomes[i].error.empty() ? "delivered"
                                : over                    ? "given_up"
                                                          : "again";
    registry_.Add(Metric::kWebhookDeliveries, {outcome}, 1);
    if (!outcomes[i].error.empty() && over) {
      log::Warning("a webhook's delivery is given up",
                   {{"delivery", due[i].id}, {"error", outcomes[i].error}});
    }
  }
}

}  // namespace hone::server::webhooks
