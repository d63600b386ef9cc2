#pragma once

#include <array>

namespace hone::server::store {

// The files of sql/, embedded when the program is built.
extern const char kSchema0001[];
extern const char kSchema0002[];
extern const char kSchema0003[];
extern const char kSchema0004[];
extern const char kSchema0005[];
extern const char kSchema0006[];
extern const char kSchema0007[];
extern const char kSchema0008[];
extern const char kSchema0009[];
extern const char kSchema0010[];
extern const char kSchema0011[];
extern const char kSchema0012[];
extern const char kSchema0013[];
extern const char kSchema0014[];
extern const char kSchema0015[];
extern const char kSchema0016[];

// The steps from an empty file to the newest schema; a file's user_version says how many it has
// had.
inline constexpr std::array kMigrations = {kSchema0001, kSchema0002, kSchema0003, kSchema0004,
                                           kSchema0005, kSchema0006, kSchema0007, kSchema0008,
                                           kSchema0009, kSchema0010, kSchema0011, kSchema0012,
                                           kSchema0013, kSchema0014, kSchema0015, kSchema0016};

}  // namespace hone::server::store
