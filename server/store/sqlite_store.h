#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/store/job_store.h"

namespace hone::server::store {

// A store in one SQLite file, which it makes if it is not there: write-ahead log, a sync at every
// commit, one connection that writes and some that read. Only one process may have it open (the
// data directory's lock sees to that). DATA_LOSS: the file is damaged. FAILED_PRECONDITION: it was
// written by a newer version.
//
// `owner` names the server in its claims; it is the same after a restart.
absl::StatusOr<std::unique_ptr<JobStore>> OpenSqliteStore(const std::string& path,
                                                          const std::string& owner = "honed");
// The same to look at: every write fails, and no byte of the file changes. For a file that nobody
// writes to and that has no log beside it, as in a backup. FAILED_PRECONDITION: of another version.
absl::StatusOr<std::unique_ptr<JobStore>> OpenSqliteStoreAsItIs(const std::string& path);
// FAILED_PRECONDITION: opening it would change it, because an older version wrote it.
absl::Status CheckSqliteVersion(const std::string& path);

}  // namespace hone::server::store
