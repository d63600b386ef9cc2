#pragma once

#include <grpcpp/support/status.h>

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"

namespace hone::server::http {

// The HTTP code of a canonical one, as google.rpc.Code has it; 499 where the client has left.
int HttpCode(absl::StatusCode code);

// What is told instead of an answer.
struct Failure {
  int http_code = 500;
  google::rpc::Status status;
  std::string allow = "";  // of 405: the methods that there are
};

// Of a call: its details are in it.
Failure FailureOf(const grpc::Status& status);
Failure FailureOf(const absl::Status& status);
// Of HTTP itself, with a code of HTTP's own.
Failure FailureOf(int http_code, const absl::Status& status);

// {"error": {"code": 404, "status": "NOT_FOUND", "message": …, "details": […]}}
std::string ErrorJson(const Failure& failure);

// Seconds after which it may work, from its RetryInfo, rounded up. Nothing: it has none.
std::optional<int64_t> RetryAfterSeconds(const Failure& failure);

}  // namespace hone::server::http
