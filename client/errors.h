#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace hone::client {

// What a client must know of an error beside its code and words. The facts travel as payloads.

// No answer of the server's own: it could not be reached, the connection broke, the deadline came.
absl::Status LineError(absl::StatusCode code, absl::string_view message);
bool IsLineError(const absl::Status& status);

// Of those, what another try may mend. A server that dies in the middle of an answer is not always
// UNAVAILABLE to gRPC.
bool IsBrokenLine(const absl::Status& status);

// After what time the server wants to be asked again, if its answer said so.
std::optional<absl::Duration> RetryDelay(const absl::Status& status);

// Why the server refused a call, for programs: the reason of a google.rpc.ErrorInfo, such as
// "IMPORT_UNDER_WAY"; "": the error has none.
std::string Reason(const absl::Status& status);

// The payload of Reason, and of RetryDelay: under the names of their types.
inline constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";
inline constexpr char kRetryInfoUrl[] = "type.googleapis.com/google.rpc.RetryInfo";

}  // namespace hone::client
