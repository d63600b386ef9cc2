#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "server/store/job_store.h"
#include "server/store/sqlite.h"
#include "server/store/sqlite_rows.h"

namespace hone::server::store {

// What is read of the SQLite store by walking over many rows, on a connection of its own, as
// SqliteReader. For one thread at a time.
class SqliteLists {
 public:
  static absl::StatusOr<std::unique_ptr<SqliteLists>> Open(
      const std::string& path, absl::Duration most_time = TimedConnection::kMostTime);

  absl::StatusOr<Page<jobs::Job>> List(const ListJobs& what);
  absl::StatusOr<std::vector<JobCount>> Count();
  absl::StatusOr<Page<v1::Model>> ListModels(const struct ListModels& what);
  absl::StatusOr<std::vector<std::string>> FindDamage();

 private:
  SqliteLists() = default;
  absl::Status PrepareJobs();
  // Appends what one listing finds: more than one page has room for, if there is more.
  absl::Status Collect(Statement& list, const ListJobs& what, absl::string_view state,
                       std::vector<JobRow>& rows);
  // Sets the queue positions of `items`, all of one project, given by their rows.
  absl::Status NumberQueued(const std::string& project,
                            const absl::flat_hash_map<int64_t, size_t>& queued,
                            std::vector<jobs::Job>& items);

  TimedConnection connection_;
  // By newest and by oldest first; of one state; with labels.
  Statement every_, every_oldest_;  // of all projects
  Statement list_, list_oldest_, list_state_, list_state_oldest_, list_label_, list_label_oldest_;
  Statement queue_place_, queue_rows_, queue_priorities_;
  Statement count_;
  Statement models_, every_model_;
};

}  // namespace hone::server::store
