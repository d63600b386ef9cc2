#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hone/v1/admin.pb.h"

// The folder of a backup is laid out as a data directory, with two files more:
//   backup.json   v1::Backup as JSON; it has the SHA-256 of
//   MANIFEST      a line for each other file, as `sha256sum --check MANIFEST` reads them
//   store.db, models/, datasets/, runs/
namespace hone::server::backup {

inline constexpr char kHeaderFile[] = "backup.json";
inline constexpr char kManifestFile[] = "MANIFEST";
inline constexpr int kFormat = 1;

struct ManifestEntry {
  std::string path;  // relative to the backup's folder
  std::string sha256;
};

// A line of MANIFEST with its end, and back. A name with a line feed or a backslash is written as
// sha256sum does. INVALID_ARGUMENT: it is no such line, or its path leads out of the folder.
std::string ManifestLine(const ManifestEntry& entry);
absl::StatusOr<ManifestEntry> ParseManifestLine(absl::string_view line);

// "backups/" + id and back. INVALID_ARGUMENT, with the shape that a name must have.
std::string BackupName(absl::string_view id);
absl::StatusOr<std::string> BackupId(absl::string_view name);

// NOT_FOUND: the folder has no backup.json, and is no backup. FAILED_PRECONDITION: a newer version
// made it. DATA_LOSS: the file is damaged.
absl::StatusOr<v1::Backup> ReadHeader(const std::string& folder);
absl::Status WriteHeader(const std::string& folder, const v1::Backup& backup);

// Calls `one` for each file of the manifest, a line at a time; ends with its error. DATA_LOSS: the
// manifest is not the one that `header` speaks of.
absl::Status EachFile(const std::string& folder, const v1::Backup& header,
                      absl::FunctionRef<absl::Status(const ManifestEntry&)> one);

// Reads every file. What is wrong with them, in words, at most 100 of them; errors of ReadHeader
// and EachFile.
absl::StatusOr<std::vector<std::string>> FindDamage(const std::string& folder);

// Copies a file piece by piece to a new one, durably, and returns its SHA-256. `piece` is told how
// many bytes were copied since the last time; what is not OK is returned.
absl::StatusOr<std::string> CopyFile(const std::string& from, const std::string& to,
                                     absl::FunctionRef<absl::Status(int64_t)> piece);

// Folders that are missing, for their owner alone, durable.
absl::Status MakeFolders(const std::string& root, absl::string_view relative);

}  // namespace hone::server::backup
