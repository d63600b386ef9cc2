#include "server/http/errors.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "nlohmann/json.hpp"
#include "server/http/transcode.h"
#include "server/jobs/reason.h"
#include "server/jobs/retry_delay.h"

namespace hone::server::http {

int HttpCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

Failure FailureOf(const grpc::Status& status) {
  Failure failure{.http_code = HttpCode(static_cast<absl::StatusCode>(status.error_code())),
                  .status = {}};
  if (!failure.status.ParseFromString(status.error_details()) ||
      failure.status.code() != static_cast<int>(status.error_code())) {
    failure.status.Clear();
  }
  failure.status.set_code(static_cast<int>(status.error_code()));
  failure.status.set_message(status.error_message());
  return failure;
}

Failure FailureOf(const absl::Status& status) { return FailureOf(HttpCode(status.code()), status); }

Failure FailureOf(int http_code, const absl::Status& status) {
  Failure failure{.http_code = http_code, .status = {}};
  const absl::Status told = jobs::ReasonOf(status).empty()
                                ? jobs::WithReason(status, jobs::ReasonOfCode(status.code()))
                                : status;
  failure.status.set_code(static_cast<int>(told.code()));
  failure.status.set_message(std::string(told.message()));
  told.ForEachPayload([&](absl::string_view url, const absl::Cord& bytes) {
    google::protobuf::Any& any = *failure.status.add_details();
    any.set_type_url(std::string(url));
    any.set_value(std::string(bytes));
  });
  return failure;
}

std::string ErrorJson(const Failure& failure) {
  // Links the types of the details, which JSON finds by their names.
  google::rpc::BadRequest::descriptor();
  nlohmann::json details = nlohmann::json::array();
  for (const google::protobuf::Any& any : failure.status.details()) {
    if (const absl::StatusOr<std::string> json = ToJson(any); json.ok()) {
      details.push_back(nlohmann::json::parse(*json, nullptr, /*allow_exceptions=*/false));
    }
  }
  nlohmann::json error = {
      {"code", failure.http_code},
      {"status", absl::StatusCodeToString(static_cast<absl::StatusCode>(failure.status.code()))},
      {"message", failure.status.message()}};
  if (!details.empty()) {
    error["details"] = std::move(details);
  }
  return nlohmann::json{{"error", std::move(error)}}.dump(-1, ' ', /*ensure_ascii=*/false,
                                                          nlohmann::json::error_handler_t::replace);
}

std::optional<int64_t> RetryAfterSeconds(const Failure& failure) {
  for (const google::protobuf::Any& any : failure.status.details()) {
    google::rpc::RetryInfo info;
    if (any.Is<google::rpc::RetryInfo>() && any.UnpackTo(&info)) {
      return std::max<int64_t>(
          1, info.retry_delay().seconds() + (info.retry_delay().nanos() > 0 ? 1 : 0));
    }
  }
  return std::nullopt;
}

}  // namespace hone::server::http
