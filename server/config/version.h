#pragma once

namespace hone::server::config {

// As in the project's CMakeLists.txt.
inline constexpr char kVersion[] = HONE_VERSION;

}  // namespace hone::server::config
