#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "server/store/job_store.h"
#include "server/store/sqlite.h"
#include "server/store/sqlite_rows.h"

namespace hone::server::store {

// The reading half of the SQLite store, on a connection of its own: it sees what has been
// committed. Any thread.
class SqliteReader {
 public:
  // What one call may take before it is DEADLINE_EXCEEDED: others wait for it.
  static constexpr absl::Duration kMostTime = absl::Seconds(5);
  static absl::StatusOr<std::unique_ptr<SqliteReader>> Open(const std::string& path,
                                                            absl::Duration most_time = kMostTime);

  absl::StatusOr<jobs::Job> Get(const std::string& id);
  absl::StatusOr<std::optional<jobs::Job>> FindRequest(const std::string& request_id);
  absl::StatusOr<bool> HasUnfinishedRetry(const std::string& id);
  absl::StatusOr<Page<jobs::Job>> List(const ListJobs& what);
  absl::StatusOr<std::vector<v1::Event>> ReadEvents(const std::string& id, int64_t after, int limit,
                                                    int64_t max_bytes);
  absl::StatusOr<std::vector<JobCount>> Count();
  absl::StatusOr<int64_t> CountQueued();
  absl::StatusOr<std::optional<absl::Time>> OldestQueued();
  absl::StatusOr<std::vector<Folder>> FoldersToRemove(Folder::Kind kind, int limit);
  absl::StatusOr<v1::Model> GetModel(const std::string& id);
  absl::StatusOr<Page<v1::Model>> ListModels(const struct ListModels& what);
  absl::StatusOr<std::vector<std::string>> FindDamage();

 private:
  // A call's turn on the connection. SQLite interrupts it when its time is over.
  class Turn {
   public:
    explicit Turn(SqliteReader& reader) : Turn(reader, reader.most_time_) {}
    Turn(SqliteReader& reader, absl::Duration most_time);

   private:
    const std::lock_guard<std::mutex> lock_;
  };

  explicit SqliteReader(absl::Duration most_time) : most_time_(most_time) {}
  absl::Status PrepareLists();
  // Appends what one listing finds: more than one page has room for, if there is more.
  absl::Status Collect(Statement& list, const ListJobs& what, absl::string_view state,
                       std::vector<JobRow>& rows);
  // Sets the queue positions of `items`, given by their rows. With mutex_ held.
  absl::Status NumberQueued(const absl::flat_hash_map<int64_t, size_t>& queued,
                            std::vector<jobs::Job>& items);

  const absl::Duration most_time_;
  std::mutex mutex_;      // guards all below
  absl::Duration until_;  // SteadyNow(); of the call whose turn it is
  Connection connection_;
  Statement get_;
  Statement find_request_;
  Statement retry_;
  // By newest and by oldest first; of one state; with labels.
  Statement list_, list_oldest_, list_state_, list_state_oldest_, list_label_, list_label_oldest_;
  Statement queue_;
  Statement events_;
  Statement count_, count_queued_;
  Statement oldest_queued_;
  Statement removals_;
  Statement get_model_;
  Statement list_models_;
};

}  // namespace hone::server::store
