#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hone/v1/admin.pb.h"
#include "server/artifacts/data_directory.h"

namespace hone::server::backup {

struct Progress {
  int64_t bytes = 0;  // that there will be, about
  int64_t done = 0;
};

struct MakeHooks {
  // Told how far it is, and asked whether to go on, at least once a megabyte; what is not OK ends
  // the backup and is returned.
  std::function<absl::Status(const Progress&)> go_on = [](const Progress&) {
    return absl::OkStatus();
  };
  int64_t disk_floor_bytes = 0;  // free disk that it leaves alone
};

// Makes the backup `id` in `backups`, a folder that is there: the store as it is at one moment and
// all files that it names, while the server goes on. It is at its place when it is whole, and not
// before. `backup` has the name and what else the caller knows; the returned one has the rest.
//
// Files that are never written again (models, data sets, checkpoints) are links of the same file
// where `backups` is on the same file system, else copies. Two moments are short: removals wait
// while the files are linked into tmp/ of the data directory, and nothing else waits.
//
// ALREADY_EXISTS; NOT_FOUND: there is no folder `backups`, or a file that the store names is
// missing; RESOURCE_EXHAUSTED: not enough disk; DATA_LOSS; errors of engine/base/files.h.
absl::StatusOr<v1::Backup> MakeBackup(const artifacts::DataDirectory& directory,
                                      const std::string& backups, const std::string& id,
                                      v1::Backup backup, const MakeHooks& hooks);

// A backup that is whole, out of sight at once.
absl::Status RemoveBackup(const std::string& backups, const std::string& id);

// Removes what backups that were interrupted have left in the folder.
void RemoveUnfinished(const std::string& backups);

}  // namespace hone::server::backup
