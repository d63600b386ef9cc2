#include "server/webhooks/webhook.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "server/jobs/names.h"
#include "server/jobs/validate.h"
#include "server/store/webhook_store.h"

namespace hone::server::webhooks {
namespace {

constexpr size_t kMostUrl = 2048;
constexpr int kMostThresholds = 16;
constexpr size_t kMostLabels = 16;
constexpr size_t kLeastSecret = 16;
constexpr size_t kMostSecret = 128;
constexpr size_t kRandomSecretBytes = 32;
constexpr char kSecretPrefix[] = "whsec_";
constexpr absl::Duration kLongestDelay = absl::Hours(1);

absl::Status WrongUrl(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("webhook.url: ", what));
}

using Url = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

// "": the URL has no such part.
std::string Part(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) {
    return "";
  }
  std::string copy = text;
  curl_free(text);
  return copy;
}

// An address that stands in a URL itself is refused at once. The library takes other ways of
// writing one as names, and looks them up: what comes of that is looked at when it is called.
absl::Status CheckWrittenAddress(const std::string& host, const AddressRule& addresses) {
  sockaddr_in v4 = {};
  sockaddr_in6 v6 = {};
  v4.sin_family = AF_INET;
  v6.sin6_family = AF_INET6;
  const sockaddr* address = nullptr;
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    address = reinterpret_cast<const sockaddr*>(&v4);
  } else if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    address = reinterpret_cast<const sockaddr*>(&v6);
  }
  if (address == nullptr || addresses.Allows(*address) || addresses.AllowsHost(host)) {
    return absl::OkStatus();
  }
  return WrongUrl(absl::StrCat(host,
                               " is not an address of the open network; honed --webhook-allow ",
                               host, " allows it to this server"));
}

absl::Status CheckThresholds(const v1::Webhook& webhook) {
  if (webhook.metrics_size() > kMostThresholds) {
    return absl::InvalidArgumentError(absl::StrCat(
        "webhook.metrics: must be at most ", kMostThresholds, ", got ", webhook.metrics_size()));
  }
  for (int i = 0; i < webhook.metrics_size(); ++i) {
    const v1::MetricThreshold& threshold = webhook.metrics(i);
    const std::string field = absl::StrCat("webhook.metrics[", i, "]");
    if (threshold.metric().empty() || threshold.metric().size() > jobs::kMaxName) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ".metric: must have 1 to ", jobs::kMaxName, " bytes"));
    }
    const double value = threshold.has_above() ? threshold.above() : threshold.below();
    if (threshold.beyond_case() == v1::MetricThreshold::BEYOND_NOT_SET || !std::isfinite(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ": must have `above` or `below`, a finite number"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckEnds(const v1::Webhook& webhook) {
  for (int i = 0; i < webhook.ends_size(); ++i) {
    const int end = webhook.ends(i);
    if (end != v1::Job::SUCCEEDED && end != v1::Job::FAILED && end != v1::Job::CANCELLED) {
      return absl::InvalidArgumentError(
          absl::StrCat("webhook.ends[", i, "]: must be SUCCEEDED, FAILED or CANCELLED"));
    }
  }
  if (webhook.ends_size() > 3) {
    return absl::InvalidArgumentError("webhook.ends: must name each end once");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UrlParts> ParseUrl(const std::string& url) {
  if (url.empty() || url.size() > kMostUrl) {
    return WrongUrl(absl::StrCat("must have 1 to ", kMostUrl, " bytes, got ", url.size()));
  }
  if (std::any_of(url.begin(), url.end(), [](char c) {
        return static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) >= 0x7f;
      })) {
    return WrongUrl("must be visible ASCII; write other characters as %XX");
  }
  const Url parsed(curl_url(), curl_url_cleanup);
  if (parsed == nullptr || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(),
                                        CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) {
    return WrongUrl("must be a URL such as https://example.org/hook");
  }
  UrlParts parts{.scheme = absl::AsciiStrToLower(Part(parsed.get(), CURLUPART_SCHEME)),
                 .host = Part(parsed.get(), CURLUPART_HOST)};
  if (parts.scheme != "http" && parts.scheme != "https") {
    return WrongUrl(absl::StrCat("must begin with http:// or https://, got \"",
                                 CutUtf8(parts.scheme, 40), "://\""));
  }
  if (!Part(parsed.get(), CURLUPART_USER).empty() ||
      !Part(parsed.get(), CURLUPART_PASSWORD).empty()) {
    return WrongUrl("must not name a user or a password; deliveries are signed instead");
  }
  if (!Part(parsed.get(), CURLUPART_FRAGMENT).empty()) {
    return WrongUrl("must not have a fragment (#…), which is never sent");
  }
  if (parts.host.size() > 2 && parts.host.front() == '[') {
    parts.host = parts.host.substr(1, parts.host.size() - 2);
  }
  if (parts.host.empty()) {
    return WrongUrl("must name a host");
  }
  return parts;
}

absl::StatusOr<v1::Webhook> Check(const v1::CreateWebhookRequest& request,
                                  const AddressRule& addresses) {
  if (!jobs::IsDatasetName(request.webhook_id())) {
    return absl::InvalidArgumentError(
        "webhook_id: must be 1 to 64 of A-Z, a-z, 0-9, '.', '_', '-', the first not '.' or '-'");
  }
  const v1::Webhook& asked = request.webhook();
  HONE_ASSIGN_OR_RETURN(const UrlParts url, ParseUrl(asked.url()));
  HONE_RETURN_IF_ERROR(CheckWrittenAddress(url.host, addresses));
  HONE_RETURN_IF_ERROR(CheckEnds(asked));
  HONE_RETURN_IF_ERROR(CheckThresholds(asked));
  if (asked.labels().size() > kMostLabels) {
    return absl::InvalidArgumentError(
        absl::StrCat("webhook.labels: must be at most ", kMostLabels));
  }
  for (const auto& [key, value] : asked.labels()) {
    if (key.size() > jobs::kMaxName || value.size() > jobs::kMaxName) {
      return absl::InvalidArgumentError(
          absl::StrCat("webhook.labels: a key or value has more than ", jobs::kMaxName, " bytes"));
    }
  }
  v1::Webhook webhook;
  webhook.set_name(store::WebhookName(request.webhook_id()));
  webhook.set_url(asked.url());
  *webhook.mutable_ends() = asked.ends();
  *webhook.mutable_metrics() = asked.metrics();
  *webhook.mutable_labels() = asked.labels();
  return webhook;
}

absl::StatusOr<std::string> SecretFor(const v1::CreateWebhookRequest& request) {
  const std::string& given = request.secret();
  if (!given.empty()) {
    return given.size() >= kLeastSecret && given.size() <= kMostSecret
               ? absl::StatusOr<std::string>(given)
               : absl::InvalidArgumentError(absl::StrCat("secret: must have ", kLeastSecret, " to ",
                                                         kMostSecret, " bytes, got ",
                                                         given.size()));
  }
  std::array<unsigned char, kRandomSecretBytes> random;
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) {
    return absl::InternalError("the system gives no random bytes");
  }
  return absl::StrCat(kSecretPrefix, absl::WebSafeBase64Escape(absl::string_view(
                                         reinterpret_cast<char*>(random.data()), random.size())));
}

std::string Signature(absl::string_view secret, absl::Time now, absl::string_view body) {
  const std::string text = absl::StrCat(absl::ToUnixSeconds(now), ".", body);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &length);
  return absl::StrCat("t=", absl::ToUnixSeconds(now), ",v1=",
                      absl::BytesToHexString(
                          absl::string_view(reinterpret_cast<const char*>(digest.data()), length)));
}

absl::Duration DelayAfter(int attempts, double random) {
  const double seconds = std::pow(2.0, std::clamp(attempts - 1, 0, 20));
  return std::min(absl::Seconds(seconds), kLongestDelay) * (0.5 + random);
}

}  // namespace hone::server::webhooks
