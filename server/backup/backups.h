#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "hone/v1/admin.pb.h"
#include "server/artifacts/data_directory.h"
#include "server/metrics/registry.h"

namespace hone::server::backup {

struct Options {
  std::string folder;                               // "": there are no backups
  absl::Duration every = absl::InfiniteDuration();  // of those by the schedule
  int keep = 7;                                     // the newest of those; 0: all
  int64_t disk_floor_bytes = 0;
  std::string server_version;
};

// The backups of a server: one at a time, on a thread of its own, when somebody asks and by a
// schedule, which goes by the newest backup in the folder and so outlives the server. Any thread;
// the arguments of the constructor outlive this.
class Backups {
 public:
  Backups(const Options& options, const artifacts::DataDirectory& directory,
          metrics::Registry& registry);
  // Gives up the one that is under way.
  ~Backups();
  Backups(const Backups&) = delete;
  Backups& operator=(const Backups&) = delete;

  void Start();
  // `id` "": the time. FAILED_PRECONDITION: there is no folder, or one is under way;
  // ALREADY_EXISTS.
  absl::StatusOr<v1::Backup> Begin(const std::string& id);
  // NOT_FOUND; errors of engine/base/files.h.
  absl::StatusOr<v1::Backup> Get(const std::string& id) const;
  // Newest first.
  absl::StatusOr<std::vector<v1::Backup>> List() const;

  static constexpr size_t kMostListed = 1000;

 private:
  void Loop();
  bool IsDue() const;
  // Makes the one that is asked for, without the lock.
  void Make(const std::string& id, v1::Backup backup);
  void RemoveOld();
  std::vector<v1::Backup> WholeOnes() const;

  const Options options_;
  const artifacts::DataDirectory& directory_;
  metrics::Registry& registry_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;                                  // guarded by mutex_
  std::optional<std::pair<std::string, v1::Backup>> now_;  // under way; guarded by mutex_
  std::optional<v1::Backup> failed_;                       // the last one; guarded by mutex_
  absl::Duration not_before_;  // SteadyNow(), of the schedule; the thread's
  std::thread thread_;
};

}  // namespace hone::server::backup
