#pragma once

#include <charconv>
#include <cstdlib>
#include <string>

namespace hone::server::translate {

// A float of a job file as the double that a person wrote: the shortest decimal that is this float,
// so that a default gives the same double whether it is written out or not.
inline double AsWritten(float value) {
  char text[32];
  *std::to_chars(text, text + sizeof(text) - 1, value).ptr = '\0';
  return std::strtod(text, nullptr);
}
template <typename T>
T AsWritten(T value) {
  return value;
}

// Sets `out` where the job file has the field.
#define HONE_TAKE(message, field, out)          \
  if ((message).has_##field()) {                \
    (out).field = AsWritten((message).field()); \
  }

// A share such as 0.1f as the double that a person wrote: 0.1.
inline double Precise(float value) { return std::stod(std::to_string(value)); }

// The value where the job file has the field.
template <typename T, typename U>
T Or(bool has, U value, T otherwise) {
  return has ? static_cast<T>(value) : otherwise;
}

}  // namespace hone::server::translate
