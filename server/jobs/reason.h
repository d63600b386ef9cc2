#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace hone::server::jobs {

// The payload's key, as in google.protobuf.Any.
inline constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";
inline constexpr char kErrorDomain[] = "hone";

// Why a call was refused, for programs. This is the list: README.md, "Errors", points here. They
// are part of the contract: one may come, none may change or go (tests/server/reason_test.cc).
namespace reason {
inline constexpr char kInvalidField[] = "INVALID_FIELD";  // a BadRequest says which ones
inline constexpr char kInvalidName[] = "INVALID_NAME";    // not of the form jobs/<id>
inline constexpr char kInvalidPageToken[] = "INVALID_PAGE_TOKEN";
inline constexpr char kJobNotFound[] = "JOB_NOT_FOUND";
inline constexpr char kModelNotFound[] = "MODEL_NOT_FOUND";
inline constexpr char kDatasetNotFound[] = "DATASET_NOT_FOUND";
inline constexpr char kArtifactNotFound[] = "ARTIFACT_NOT_FOUND";
inline constexpr char kValidationNotFound[] = "VALIDATION_NOT_FOUND";
inline constexpr char kSweepNotFound[] = "SWEEP_NOT_FOUND";
inline constexpr char kProjectNotFound[] = "PROJECT_NOT_FOUND";
inline constexpr char kSweepState[] = "SWEEP_STATE";  // not in a state for that
inline constexpr char kJobState[] = "JOB_STATE";      // not in a state for that
inline constexpr char kJobInUse[] = "JOB_IN_USE";     // a retry needs its checkpoints
inline constexpr char kModelInUse[] = "MODEL_IN_USE";
inline constexpr char kDatasetInUse[] = "DATASET_IN_USE";
inline constexpr char kCheckpointsGone[] = "CHECKPOINTS_GONE";
inline constexpr char kDatasetChanged[] = "DATASET_CHANGED";
inline constexpr char kRequestIdReused[] = "REQUEST_ID_REUSED";
inline constexpr char kDatasetExists[] = "DATASET_EXISTS";  // with other bytes
inline constexpr char kQueueFull[] = "QUEUE_FULL";
inline constexpr char kDiskFull[] = "DISK_FULL";
inline constexpr char kQuotaExceeded[] = "QUOTA_EXCEEDED";
inline constexpr char kImportUnderWay[] = "IMPORT_UNDER_WAY";  // of the same bytes and name
inline constexpr char kTooMuchMemory[] = "TOO_MUCH_MEMORY";
inline constexpr char kTokenRefused[] = "TOKEN_REFUSED";  // unknown, past its time or revoked
}  // namespace reason

// The error with a google.rpc.ErrorInfo as payload. An error that has one, and OK, stay as they
// are.
absl::Status WithReason(absl::Status status, absl::string_view reason);

// "": it has none.
std::string ReasonOf(const absl::Status& status);

// What an error without a reason of its own is told with, by its code: "NOT_FOUND".
std::string ReasonOfCode(absl::StatusCode code);

}  // namespace hone::server::jobs
