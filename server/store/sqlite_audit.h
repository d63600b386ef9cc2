#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/store/audit_store.h"
#include "server/store/sqlite.h"

namespace hone::server::store {

// Writes on `writer`, which outlives it; reads on a connection of its own to the same file.
absl::StatusOr<std::unique_ptr<AuditStore>> OpenSqliteAudit(sqlite3* writer,
                                                            const std::string& path);

}  // namespace hone::server::store
