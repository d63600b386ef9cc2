#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hone/v1/webhook.pb.h"
#include "server/webhooks/address.h"

namespace hone::server::webhooks {

// What a URL calls.
struct UrlParts {
  std::string scheme;  // "http" or "https"
  std::string host;    // without brackets
};

// INVALID_ARGUMENT, named `webhook.url`: it is no http or https URL with a host, names a user or a
// password, has a fragment, or is longer than 2,048 bytes.
absl::StatusOr<UrlParts> ParseUrl(const std::string& url);

// A webhook as it is stored, of what a client asks for. INVALID_ARGUMENT names the field, also
// where the URL names an address that the server may not call: of a host's name that is known only
// when it is called.
absl::StatusOr<v1::Webhook> Check(const v1::CreateWebhookRequest& request,
                                  const AddressRule& addresses);

// A new one, of 32 random bytes; what a client gave, if it is 16 to 128 bytes.
absl::StatusOr<std::string> SecretFor(const v1::CreateWebhookRequest& request);

// The value of the header Hone-Signature: `t=SECONDS,v1=HEX`, the latter the HMAC-SHA256 (RFC 2104)
// of "SECONDS.BODY".
std::string Signature(absl::string_view secret, absl::Time now, absl::string_view body);

// How long to wait before the try after so many: about 1 s, 2 s, 4 s, … 1 h. `random` from 0 to 1
// makes it half as long to half as long again.
absl::Duration DelayAfter(int attempts, double random);

}  // namespace hone::server::webhooks
