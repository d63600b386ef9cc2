#include "engine/base/files.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/memory_error.h"
#include "engine/base/owned_fd.h"
#include "engine/base/status.h"

namespace hone {
namespace {

absl::Status WriteAndSync(int fd, absl::string_view bytes, absl::string_view path) {
  HONE_RETURN_IF_ERROR(WriteAll(fd, bytes, absl::StrCat("cannot write ", path)));
  return ::fsync(fd) == 0 ? absl::OkStatus()
                          : ErrnoStatus(errno, absl::StrCat("cannot fsync ", path));
}

// The next bytes of the file, as many as there are room for at most; empty at its end.
absl::StatusOr<absl::string_view> ReadChunk(const OwnedFd& file, std::vector<char>& buffer,
                                            absl::string_view path) {
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got >= 0) {
      return absl::string_view(buffer.data(), static_cast<size_t>(got));
    }
    if (errno != EINTR) {
      return ErrnoStatus(errno, absl::StrCat("cannot read ", path));
    }
  }
}

using Digest = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

Digest NewSha256() {
  Digest digest(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr);
  return digest;
}

std::string Hex(const Digest& digest) {
  unsigned char bytes[32];
  EVP_DigestFinal_ex(digest.get(), bytes, nullptr);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<char*>(bytes), sizeof(bytes)));
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view context) {
  const std::string message = absl::StrCat(context, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(message);
    case ENOMEM:
      return OutOfMemoryError(message);
    default:
      return absl::UnavailableError(message);
  }
}

absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes) {
  const OwnedFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  }
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot stat ", path));
  }
  std::string bytes;
  if (info.st_size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": at most ", max_bytes, " bytes, got ", info.st_size));
  }
  bytes.reserve(static_cast<size_t>(info.st_size));
  std::vector<char> buffer(1 << 16);
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const absl::string_view chunk, ReadChunk(file, buffer, path));
    if (chunk.empty()) {
      return bytes;
    }
    absl::StrAppend(&bytes, chunk);
    if (static_cast<int64_t>(bytes.size()) > max_bytes) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": more than ", max_bytes, " bytes"));
    }
  }
}

absl::Status WriteAll(int fd, absl::string_view bytes, absl::string_view context) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) {
        continue;
      }
      return ErrnoStatus(errno, context);
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status WriteFileDurably(const std::string& path, absl::string_view bytes) {
  const OwnedFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.valid()) {
    return ErrnoStatus(errno, absl::StrCat("cannot create ", path));
  }
  return WriteAndSync(file.get(), bytes, path);
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view bytes) {
  const std::string fresh = absl::StrCat(path, ".tmp.", ::getpid());
  absl::Status status = WriteFileDurably(fresh, bytes);
  if (status.ok() && ::rename(fresh.c_str(), path.c_str()) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("cannot rename to ", path));
  }
  if (!status.ok()) {
    ::unlink(fresh.c_str());
    return status;
  }
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return SyncDirectory(folder.empty() ? "." : folder);
}

absl::Status SyncDirectory(const std::string& path) {
  const OwnedFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() || ::fsync(folder.get()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot fsync folder ", path));
  }
  return absl::OkStatus();
}

std::string Sha256(absl::string_view bytes) {
  const Digest digest = NewSha256();
  EVP_DigestUpdate(digest.get(), bytes.data(), bytes.size());
  return Hex(digest);
}

absl::StatusOr<std::string> Sha256OfFile(const std::string& path) {
  return Sha256OfFile(path, [] { return true; });
}

absl::StatusOr<std::string> Sha256OfFile(const std::string& path,
                                         absl::FunctionRef<bool()> wanted) {
  const OwnedFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  }
  const Digest digest = NewSha256();
  std::vector<char> buffer(1 << 18);
  while (wanted()) {
    HONE_ASSIGN_OR_RETURN(const absl::string_view chunk, ReadChunk(file, buffer, path));
    if (chunk.empty()) {
      return Hex(digest);
    }
    EVP_DigestUpdate(digest.get(), chunk.data(), chunk.size());
  }
  return absl::CancelledError(absl::StrCat(path, ": nobody waits for its SHA-256 any more"));
}

Sha256OfPieces::Sha256OfPieces() : digest_(NewSha256().release(), &EVP_MD_CTX_free) {}

void Sha256OfPieces::Add(absl::string_view bytes) {
  EVP_DigestUpdate(digest_.get(), bytes.data(), bytes.size());
}

std::string Sha256OfPieces::Finish() { return Hex(digest_); }

}  // namespace hone
