#pragma once

#include <charconv>
#include <cstdlib>

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

}  // namespace hone::server::translate
