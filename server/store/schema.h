#pragma once

namespace hone::server::store {

// sql/0001_init.sql, embedded when the program is built.
extern const char kSchema0001[];

}  // namespace hone::server::store
