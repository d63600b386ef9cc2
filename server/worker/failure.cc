#include "server/worker/failure.h"

#include "engine/base/memory_error.h"
#include "engine/base/utf8.h"

namespace hone::server::worker {
namespace {

using engine::job::Phase;

const char* ReasonOf(const absl::Status& status, Phase phase) {
  switch (status.code()) {
    case absl::StatusCode::kOutOfRange:
      return "NON_FINITE";
    case absl::StatusCode::kDataLoss:
      return "DATA_LOSS";
    case absl::StatusCode::kResourceExhausted:
      return IsOutOfMemory(status) ? "OUT_OF_MEMORY" : "STORAGE_FULL";
    case absl::StatusCode::kUnavailable:
      return "UNAVAILABLE";
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:  // planning, it is a name in the spec
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
      return phase == Phase::kLoading ? "BAD_DATA"
             : phase == Phase::kPlanning &&
                     (absl::IsInvalidArgument(status) || absl::IsNotFound(status))
                 ? "INVALID_SPEC"
                 : "INTERNAL";
    default:
      return "INTERNAL";
  }
}

}  // namespace

v1::Failure ToFailure(const absl::Status& status, Phase phase, int64_t step) {
  v1::Failure failure;
  failure.set_end_reason(ReasonOf(status, phase));
  // A frame with other text could not be read.
  failure.set_message(WholeUtf8(status.message()));
  failure.set_step(step);
  failure.set_code(static_cast<int>(status.code()));
  failure.set_infrastructure(failure.end_reason() == "UNAVAILABLE" ||
                             failure.end_reason() == "STORAGE_FULL");
  failure.set_checkpoint(phase == Phase::kCheckpoint);
  return failure;
}

}  // namespace hone::server::worker
