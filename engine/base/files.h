#pragma once

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct evp_md_ctx_st;  // of OpenSSL

namespace hone {

// Errors of all functions here: NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED (no space, quota),
// else UNAVAILABLE; the message names the path and the system's reason.

// An errno value as a status: `context: strerror`.
absl::Status ErrnoStatus(int error, absl::string_view context);

// The whole file; INVALID_ARGUMENT if it is larger than max_bytes.
absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes = int64_t{1} << 40);

// Replaces `path` with `bytes` so that a reader, and a crash at any moment, sees the old file or
// the new one, whole: a new file beside it, fsync, rename, fsync of the folder.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view bytes);

// Writes a new file and fsyncs it. For files of a folder that is itself renamed into place.
absl::Status WriteFileDurably(const std::string& path, absl::string_view bytes);

// Writes all bytes, however many calls that takes; errors begin with `context`.
absl::Status WriteAll(int fd, absl::string_view bytes, absl::string_view context);

// Makes a folder's entries durable (what was created, renamed or removed in it).
absl::Status SyncDirectory(const std::string& path);

// Lower-case hexadecimal SHA-256.
std::string Sha256(absl::string_view bytes);
absl::StatusOr<std::string> Sha256OfFile(const std::string& path);
// Ends with CANCELLED as soon as `wanted`, asked again and again, says no.
absl::StatusOr<std::string> Sha256OfFile(const std::string& path, absl::FunctionRef<bool()> wanted);

// The same of bytes that come piece by piece.
class Sha256OfPieces {
 public:
  Sha256OfPieces();
  void Add(absl::string_view bytes);
  // After the last piece, once.
  std::string Finish();

 private:
  std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> digest_;
};

}  // namespace hone
