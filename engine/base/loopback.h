#pragma once

#include "absl/strings/string_view.h"

namespace hone {

// Whether HOST:PORT, or HOST, is this machine alone: 127.0.0.0/8, [::1] or localhost.
bool IsLoopback(absl::string_view address);

}  // namespace hone
