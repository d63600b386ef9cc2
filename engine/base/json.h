#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone {

// Lists and objects within each other, more than any file that is meant to be read has.
// nlohmann::json copies, compares and writes values by recursion, so that a file of brackets alone
// would overflow the stack.
inline constexpr int64_t kDeepestJson = 256;

// The value that `text` is, UTF-8 with or without a byte order mark, whoever wrote it.
// INVALID_ARGUMENT names the place: "is no JSON from line 3, byte 12 on"; of a text of one line
// "from its byte 12 on", for which the caller may have a line of its own; both count from 1. Also
// where it nests deeper than kDeepestJson, or has a number that no double holds.
absl::StatusOr<nlohmann::json> ParseJson(absl::string_view text);

// The same of an object; INVALID_ARGUMENT also says what else it is.
absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text);
// Both with the keys of all objects in the order in which they are written.
absl::StatusOr<nlohmann::ordered_json> ParseOrderedJson(absl::string_view text);
absl::StatusOr<nlohmann::ordered_json> ParseOrderedJsonObject(absl::string_view text);

}  // namespace hone
