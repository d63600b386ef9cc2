#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hone/v1/admin.pb.h"

namespace hone::server::backup {

// Makes a data directory of a backup, which stays as it is: every file is copied and its SHA-256
// compared, and the store gets a new generation. `data_directory` is empty, not there, or what a
// restore that was interrupted has left. A server serves it only when all of it is there.
// `progress` is told the bytes that are done.
//
// NOT_FOUND: `backup` is none; DATA_LOSS: it is damaged, and nothing stays; FAILED_PRECONDITION: a
// newer version made it, or `data_directory` has something else in it; RESOURCE_EXHAUSTED: not
// enough disk; errors of engine/base/files.h.
absl::StatusOr<v1::Backup> Restore(const std::string& backup, const std::string& data_directory,
                                   absl::FunctionRef<void(int64_t done)> progress);

// `honed restore BACKUP --data-dir DIR`; argv[0] is "restore". Returns the exit code: 0, 1 when it
// is not restored, 2 for a wrong command line.
int Main(int argc, const char* const* argv);

}  // namespace hone::server::backup
