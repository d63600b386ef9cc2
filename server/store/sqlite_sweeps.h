#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/store/project_store.h"
#include "server/store/sqlite.h"
#include "server/store/sweep_store.h"

namespace hone::server::store {

// Writes on `writer` and asks `projects`, which outlive it; reads on a connection of its own to the
// same file.
absl::StatusOr<std::unique_ptr<SweepStore>> OpenSqliteSweeps(sqlite3* writer,
                                                             ProjectStore& projects,
                                                             const std::string& path);

}  // namespace hone::server::store
