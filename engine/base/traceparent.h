#pragma once

#include <algorithm>

#include "absl/strings/string_view.h"

namespace hone {

// The trace context of the W3C (https://www.w3.org/TR/trace-context/, version 00), by which a call
// is followed through programs of different makers: VERSION-TRACE-PARENT-FLAGS in lower-case
// hexadecimal digits, 2, 32, 16 and 2 of them.
//
// Whether it is one: neither the trace nor the parent is all zeros, and the version is not ff. A
// later version may have more behind a further '-'.
inline bool IsTraceparent(absl::string_view text) {
  constexpr size_t kLength = 55, kTrace = 3, kParent = 36, kFlags = 53;
  constexpr size_t kMost = 256;  // of a later version
  const auto is_hex = [&](size_t begin, size_t count) {
    return std::ranges::all_of(text.substr(begin, count), [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    });
  };
  const auto is_zero = [&](size_t begin, size_t count) {
    return std::ranges::all_of(text.substr(begin, count), [](char c) { return c == '0'; });
  };
  if (text.size() < kLength || text.size() > kMost || text[kTrace - 1] != '-' ||
      text[kParent - 1] != '-' || text[kFlags - 1] != '-' || !is_hex(0, 2) || !is_hex(kTrace, 32) ||
      !is_hex(kParent, 16) || !is_hex(kFlags, 2) || is_zero(kTrace, 32) || is_zero(kParent, 16) ||
      text.substr(0, 2) == "ff") {
    return false;
  }
  if (text.size() == kLength) {
    return true;
  }
  return text.substr(0, 2) != "00" && text[kLength] == '-' &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

// What all programs call the trace, for their logs; "": it is no trace context.
inline absl::string_view TraceIdOf(absl::string_view traceparent) {
  return IsTraceparent(traceparent) ? traceparent.substr(3, 32) : "";
}

}  // namespace hone
