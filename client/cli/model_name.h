#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace hone::client::cli {

// The folder on this machine that `model` names: a model's, or a run's with one; "": it is a name
// of the server's. NOT_FOUND: it is a path where nothing is. FAILED_PRECONDITION: a run without a
// model yet.
absl::StatusOr<std::string> FindModelFolder(const std::string& model);

}  // namespace hone::client::cli
