#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone {

// How many bytes at the begin of `text` are whole UTF-8 characters (RFC 3629: no surrogates, no
// forms longer than need be): text.size() where all of it is UTF-8.
size_t Utf8Prefix(absl::string_view text);

// INVALID_ARGUMENT names the first line that is not UTF-8, and the byte by its offset. `line` and
// `offset` are where `text` begins in a longer one.
absl::Status CheckUtf8(absl::string_view text, int64_t line = 1, int64_t offset = 0);

// What some editors write before UTF-8; no part of the text.
inline constexpr absl::string_view kByteOrderMark = "\xef\xbb\xbf";

// The text that the bytes of a whole file are, without a byte order mark. Errors of CheckUtf8,
// whose offset is that in the file.
absl::StatusOr<std::string> FromUtf8(std::string bytes);

// The begin of `utf8`, at most `longest` bytes, cut where a character begins.
std::string CutUtf8(absl::string_view utf8, size_t longest);

// The text with U+FFFD for each byte that is no part of a whole character.
std::string WholeUtf8(absl::string_view text);

}  // namespace hone
