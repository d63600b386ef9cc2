#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace hone {

// RESOURCE_EXHAUSTED says that memory or the disk is short; what follows differs, so this one says
// which. The mark is a payload and stays when the error is annotated.
absl::Status OutOfMemoryError(absl::string_view message);
bool IsOutOfMemory(const absl::Status& status);

}  // namespace hone
