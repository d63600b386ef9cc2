#include "engine/base/memory_error.h"

#include "absl/strings/cord.h"

namespace hone {
namespace {

constexpr char kMark[] = "hone/out-of-memory";

}  // namespace

absl::Status OutOfMemoryError(absl::string_view message) {
  absl::Status status = absl::ResourceExhaustedError(message);
  status.SetPayload(kMark, absl::Cord());
  return status;
}

bool IsOutOfMemory(const absl::Status& status) { return status.GetPayload(kMark).has_value(); }

}  // namespace hone
