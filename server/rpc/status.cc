#include "server/rpc/status.h"

#include <map>
#include <string>

#include "absl/strings/cord.h"
#include "engine/base/utf8.h"
#include "google/rpc/status.pb.h"
#include "server/jobs/reason.h"
#include "server/jobs/retry_delay.h"

namespace hone::server::rpc {
namespace {

// Message and details share the 8 KiB of trailers that a gRPC client accepts by default.
constexpr size_t kMaxMessage = 1500;
// Where the error names none.
constexpr absl::Duration kRetryDelay = absl::Seconds(1);

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) {
    return grpc::Status::OK;
  }
  if ((absl::IsResourceExhausted(status) || absl::IsUnavailable(status)) &&
      !status.GetPayload(jobs::kRetryInfoUrl).has_value()) {
    return ToGrpc(jobs::WithRetryDelay(status, kRetryDelay));
  }
  if (jobs::ReasonOf(status).empty()) {
    return ToGrpc(jobs::WithReason(status, jobs::ReasonOfCode(status.code())));
  }
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(CutUtf8(status.message(), kMaxMessage));
  std::map<std::string, std::string> payloads;  // absl gives them in no order of its own
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& bytes) {
    payloads[std::string(url)] = std::string(bytes);
  });
  for (const auto& [url, bytes] : payloads) {
    google::protobuf::Any& any = *details.add_details();
    any.set_type_url(url);
    any.set_value(bytes);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), details.message(),
                      details.SerializeAsString());
}

}  // namespace hone::server::rpc
