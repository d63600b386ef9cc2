#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hone::engine::data {

// One of the files that ForEachFile finds.
struct TreeFile {
  std::string name;  // below the folder or in the archive, parts joined by /
  int64_t bytes = 0;
  // Its contents, once, while the visit lasts; INVALID_ARGUMENT beyond max_bytes.
  absl::FunctionRef<absl::StatusOr<std::string>(int64_t max_bytes)> read;
  // Instead: the next of its bytes, at most `size`, while the visit lasts; fewer only at its end.
  absl::FunctionRef<absl::StatusOr<int64_t>(char* out, int64_t size)> read_some;
};

enum class Visit { kGoOn, kStop };

// Visits the regular files below a folder (in the order of their names) or in a tar archive, plain
// or gzip (in its own order); nothing is unpacked onto the disk, links are not followed. A visit's
// error ends it. Errors name the path; those of an archive the entry too.
absl::Status ForEachFile(const std::string& path,
                         absl::FunctionRef<absl::StatusOr<Visit>(const TreeFile& file)> visit);

// The same for a tar archive, plain or gzip, that is to be unpacked. INVALID_ARGUMENT also for an
// entry whose name leads out of the archive's folder (it begins with / or has the part ..) or is no
// UTF-8, and for one that is neither a file nor a folder: a link, a device.
absl::Status ForEachFileToUnpack(
    const std::string& path, absl::FunctionRef<absl::StatusOr<Visit>(const TreeFile& file)> visit);

// The contents of those files of a zip archive that are `wanted`, by name; what it does not hold is
// not among them, and nothing else is read. INVALID_ARGUMENT where one is larger than max_bytes, or
// the archive is damaged.
absl::StatusOr<std::map<std::string, std::string>> ReadZip(const std::string& path,
                                                           std::span<const std::string> wanted,
                                                           int64_t max_bytes);

// A name that ends in .tar, .tar.gz or .tgz.
bool IsArchiveName(const std::string& path);

// Whether any file's name satisfies `wanted`; false where the path cannot be read.
bool HasFile(const std::string& path, absl::FunctionRef<bool(const std::string& name)> wanted);

}  // namespace hone::engine::data
