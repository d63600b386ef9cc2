#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/store/project_store.h"
#include "server/store/sqlite.h"

namespace hone::server::store {

// Writes on `writer`, which outlives it; reads on a connection of its own to the same file.
absl::StatusOr<std::unique_ptr<ProjectStore>> OpenSqliteProjects(sqlite3* writer,
                                                                 const std::string& path);

// The names of the projects that have jobs in the queue which are not held, as a table `waiting`:
// one step in the index for each, however many jobs there are.
inline constexpr char kWaitingProjects[] =
    "WITH RECURSIVE waiting(name) AS ("
    "SELECT (SELECT min(project) FROM job INDEXED BY job_queue WHERE state = 'QUEUED' AND held = 0)"
    " UNION ALL "
    "SELECT (SELECT min(project) FROM job INDEXED BY job_queue WHERE state = 'QUEUED' AND held = 0 "
    "AND project > waiting.name) FROM waiting WHERE waiting.name IS NOT NULL) ";

// The columns that ReadShares reads, in its order, for a SELECT over `project`.
inline constexpr char kShareColumns[] =
    "queued_jobs, running_jobs, threads, memory_bytes, dataset_bytes, model_bytes, "
    "checkpoint_bytes, calls_per_second, weight";
inline constexpr int kShareColumnCount = 9;
Shares ReadShares(const Statement& statement, int first);

}  // namespace hone::server::store
