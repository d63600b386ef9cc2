#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/store/job_store.h"
#include "server/store/sqlite.h"

namespace hone::server::store {

// What is read of the SQLite store in a moment, on a connection of its own: it sees what has been
// committed. What may take longer is SqliteLists'. For one thread at a time.
class SqliteReader {
 public:
  static absl::StatusOr<std::unique_ptr<SqliteReader>> Open(const std::string& path);

  absl::StatusOr<jobs::Job> Get(const std::string& id);
  absl::StatusOr<std::string> ProjectOfJob(const std::string& id);
  absl::StatusOr<std::string> ProjectOfModel(const std::string& id);
  absl::StatusOr<std::optional<jobs::Job>> FindRequest(const std::string& project,
                                                       const std::string& request_id);
  absl::StatusOr<bool> HasUnfinishedRetry(const std::string& id);
  absl::StatusOr<std::vector<v1::Event>> ReadEvents(const std::string& id, int64_t after, int limit,
                                                    int64_t max_bytes);
  absl::StatusOr<int64_t> CountQueued();
  absl::StatusOr<std::optional<absl::Time>> OldestQueued();
  absl::StatusOr<std::vector<Folder>> FoldersToRemove(Folder::Kind kind, int limit);
  absl::StatusOr<v1::Model> GetModel(const std::string& id);

 private:
  SqliteReader() = default;
  absl::Status Prepare();

  TimedConnection connection_;
  Statement get_, find_request_, retry_, project_of_job_, project_of_model_;
  Statement events_;
  Statement count_queued_, oldest_queued_;
  Statement removals_;
  Statement get_model_;
};

}  // namespace hone::server::store
