#pragma once

#include <array>

namespace hone::server::store {

// sql/0001_init.sql and sql/0002_datasets.sql, embedded when the program is built.
extern const char kSchema0001[];
extern const char kSchema0002[];

// The steps from an empty file to the newest schema; a file's user_version says how many it has
// had.
inline constexpr std::array kMigrations = {kSchema0001, kSchema0002};

}  // namespace hone::server::store
