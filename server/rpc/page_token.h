#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace hone::server::rpc {

// Opaque for clients: a row of the store. "" is 0 and back.
std::string PageToken(int64_t row);
absl::StatusOr<int64_t> ParsePageToken(const std::string& token);

// 0 is 50; INVALID_ARGUMENT below 0; above 1000 is 1000.
absl::StatusOr<int> PageSize(int32_t page_size);

}  // namespace hone::server::rpc
