#pragma once

#include <string>

#include "absl/status/status.h"

namespace hone::client::cli {

// DATA_LOSS unless this name of a file, which a server sent, leads below the folder that it is put
// into.
absl::Status CheckBelow(const std::string& path);

}  // namespace hone::client::cli
