#include "server/jobs/reason.h"

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"

namespace hone::server::jobs {

absl::Status WithReason(absl::Status status, absl::string_view reason) {
  if (status.ok() || status.GetPayload(kErrorInfoUrl).has_value()) {
    return status;
  }
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(kErrorDomain);
  status.SetPayload(kErrorInfoUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

std::string ReasonOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kErrorInfoUrl);
  google::rpc::ErrorInfo info;
  return payload.has_value() && info.ParseFromString(std::string(*payload)) ? info.reason() : "";
}

std::string ReasonOfCode(absl::StatusCode code) { return absl::StatusCodeToString(code); }

}  // namespace hone::server::jobs
