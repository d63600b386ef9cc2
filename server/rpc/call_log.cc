#include "server/rpc/call_log.h"

#include "absl/strings/strip.h"
#include "engine/base/traceparent.h"
#include "server/log/log.h"

namespace hone::server::rpc {
namespace {

bool IsServersFault(const absl::Status& status) {
  return absl::IsInternal(status) || absl::IsDataLoss(status) || absl::IsUnknown(status);
}

// job=abc for "jobs/abc".
log::Field ResourceField(absl::string_view resource) {
  if (absl::ConsumePrefix(&resource, "jobs/")) {
    return {"job", resource};
  }
  if (absl::ConsumePrefix(&resource, "models/")) {
    return {"model", resource};
  }
  if (absl::ConsumePrefix(&resource, "datasets/")) {
    return {"dataset", resource};
  }
  return {"resource", resource};
}

}  // namespace

void LogCall(const Call& call, const absl::Status& status, absl::Duration took) {
  const bool fault = IsServersFault(status);
  if (status.ok() && !call.changes) {
    return;
  }
  const auto write = fault                                              ? &log::Error
                     : !call.changes || absl::IsUnauthenticated(status) ? &log::Debug
                     : status.ok()                                      ? &log::Info
                                                                        : &log::Warning;
  write(status.ok() ? "call done" : "call failed",
        {{"rpc", call.method},
         {"request_id", call.request_id},
         ResourceField(call.resource),
         {"code", absl::StatusCodeToString(status.code())},
         {"ms", absl::ToDoubleMilliseconds(took)},
         {"caller", call.caller},
         {"project", call.project},
         {"peer", call.peer},
         {"trace_id", TraceIdOf(call.traceparent)},
         {"error", status.message()}});
}

}  // namespace hone::server::rpc
