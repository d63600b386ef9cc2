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
// FAILED_PRECONDITION: opening it would change it, because an older version wrote it.
absl::Status CheckSqliteVersion(const std::string& path);

}  // namespace hone::server::store
