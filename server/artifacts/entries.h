#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace hone::server::artifacts {

// The names of what is in a folder, sorted: all of them or an error, never a part. NOT_FOUND: there
// is no such folder. Nothing is thrown.
absl::StatusOr<std::vector<std::string>> EntriesOf(const std::string& folder);

}  // namespace hone::server::artifacts
