#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::client::jobfile {

inline constexpr int64_t kMaxFileBytes = 1 << 20;
inline constexpr int kMaxDepth = 32;
inline constexpr int64_t kMaxNodes = 200'000;

// A value of a YAML document and where it stands.
struct Node {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  Kind kind = Kind::kNull;
  std::string text;         // of a scalar
  bool quoted = false;      // the scalar stands in quotes, so it is text
  std::vector<Node> items;  // of a sequence; of a map, the values
  std::vector<Node> keys;   // of a map, in the order of the values; keys may repeat
  int line = 1;             // from 1
  int column = 1;           // from 1
  // "a list", "a map", "nothing", "`12`"
  std::string Describe() const;
};

// Reads one YAML (or JSON) document. Nothing is resolved: no aliases, no tags, no types.
// INVALID_ARGUMENT `origin:line:column: …`: a syntax error, more than one document, an alias, a
// tag, no document at all, or one of the limits above.
absl::StatusOr<Node> ReadDocument(absl::string_view text, absl::string_view origin);

}  // namespace hone::client::jobfile
