#include "client/errors.h"

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"

namespace hone::client {
namespace {

constexpr char kLineUrl[] = "hone/line";

}  // namespace

absl::Status LineError(absl::StatusCode code, absl::string_view message) {
  absl::Status status(code, message);
  status.SetPayload(kLineUrl, absl::Cord());
  return status;
}

bool IsLineError(const absl::Status& status) { return status.GetPayload(kLineUrl).has_value(); }

bool IsBrokenLine(const absl::Status& status) {
  return IsLineError(status) && (absl::IsUnavailable(status) || absl::IsUnknown(status) ||
                                 absl::IsInternal(status) || absl::IsCancelled(status));
}

std::optional<absl::Duration> RetryDelay(const absl::Status& status) {
  google::rpc::RetryInfo retry;
  const auto payload = status.GetPayload(kRetryInfoUrl);
  if (!payload.has_value() || !retry.ParseFromString(std::string(*payload))) {
    return std::nullopt;
  }
  return absl::Seconds(retry.retry_delay().seconds()) +
         absl::Nanoseconds(retry.retry_delay().nanos());
}

std::string Reason(const absl::Status& status) {
  google::rpc::ErrorInfo info;
  const auto payload = status.GetPayload(kErrorInfoUrl);
  return payload.has_value() && info.ParseFromString(std::string(*payload)) ? info.reason() : "";
}

}  // namespace hone::client
