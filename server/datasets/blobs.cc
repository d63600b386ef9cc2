#include "server/datasets/blobs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <set>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "server/artifacts/entries.h"

namespace hone::server::datasets {
namespace {

constexpr char kPart[] = ".part";

const char* Ending(v1::Dataset::Format format) {
  switch (format) {
    case v1::Dataset::CSV_GZ:
      return ".csv.gz";
    case v1::Dataset::TAR:
      return ".tar";
    case v1::Dataset::TAR_GZ:
      return ".tar.gz";
    case v1::Dataset::JSONL:
      return ".jsonl";
    case v1::Dataset::JSONL_GZ:
      return ".jsonl.gz";
    case v1::Dataset::TEXT:
      return ".txt";
    case v1::Dataset::TEXT_GZ:
      return ".txt.gz";
    default:
      return ".csv";
  }
}

// By the first bytes alone: what is inside is for a worker to read.
absl::Status CheckFormat(const std::string& path, v1::Dataset::Format format) {
  std::array<char, 512> head{};
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), head.size());
  const absl::string_view bytes(head.data(), static_cast<size_t>(file.gcount()));
  const bool gzip = bytes.substr(0, 2) == "\x1f\x8b";
  const bool tar = bytes.size() >= 262 && bytes.substr(257, 5) == "ustar";
  const bool text = !gzip && !tar && !absl::StrContains(bytes, '\0');
  const char* const found = gzip ? "gzip" : tar ? "a tar" : text ? "text" : "something else";
  const bool packed = format == v1::Dataset::CSV_GZ || format == v1::Dataset::TAR_GZ ||
                      format == v1::Dataset::JSONL_GZ || format == v1::Dataset::TEXT_GZ;
  const bool fits = packed ? gzip : format == v1::Dataset::TAR ? tar : text;
  return fits
             ? absl::OkStatus()
             : absl::InvalidArgumentError(absl::StrCat("format: ", v1::Dataset::Format_Name(format),
                                                       " was declared, but the bytes are ", found));
}

absl::Status SyncFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  }
  const absl::Cleanup close = [fd] { ::close(fd); };
  return ::fsync(fd) == 0 ? absl::OkStatus()
                          : ErrnoStatus(errno, absl::StrCat("cannot fsync ", path));
}

}  // namespace

std::string Blobs::Path(const store::DatasetBytes& bytes) const {
  return absl::StrCat(datasets_, "/", bytes.sha256, Ending(bytes.format));
}

absl::StatusOr<bool> Blobs::Has(const store::DatasetBytes& bytes) const {
  struct stat info = {};
  if (::stat(Path(bytes).c_str(), &info) == 0) {
    return true;
  }
  if (errno == ENOENT) {
    return false;
  }
  return ErrnoStatus(errno, absl::StrCat("cannot look at ", Path(bytes)));
}

std::string Blobs::PartPath(const std::string& upload) const {
  return absl::StrCat(uploads_, "/", upload, kPart);
}

absl::StatusOr<int64_t> Blobs::PartBytes(const std::string& upload) const {
  struct stat info {};
  if (::stat(PartPath(upload).c_str(), &info) == 0) {
    return static_cast<int64_t>(info.st_size);
  }
  if (errno == ENOENT) {
    return 0;
  }
  return ErrnoStatus(errno, absl::StrCat("cannot look at ", PartPath(upload)));
}

absl::Status Blobs::TruncatePart(const std::string& upload, int64_t bytes) const {
  const std::string path = PartPath(upload);
  return ::truncate(path.c_str(), bytes) == 0 || (errno == ENOENT && bytes == 0)
             ? absl::OkStatus()
             : ErrnoStatus(errno, absl::StrCat("cannot shorten ", path));
}

absl::Status Blobs::WritePart(const std::string& upload, int64_t offset,
                              absl::string_view chunk) const {
  const std::string path = PartPath(upload);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  }
  const absl::Cleanup close = [fd] { ::close(fd); };
  while (!chunk.empty()) {
    const ssize_t written = ::pwrite(fd, chunk.data(), chunk.size(), offset);
    if (written < 0 && errno != EINTR) {
      return ErrnoStatus(errno, absl::StrCat("cannot write ", path));
    }
    if (written > 0) {
      chunk.remove_prefix(static_cast<size_t>(written));
      offset += written;
    }
  }
  return absl::OkStatus();
}

void Blobs::RemovePart(const std::string& upload) const { ::unlink(PartPath(upload).c_str()); }

absl::Status Blobs::Verify(const std::string& upload, const store::DatasetBytes& declared,
                           absl::FunctionRef<bool()> wanted) const {
  const std::string part = PartPath(upload);
  HONE_RETURN_IF_ERROR(CheckFormat(part, declared.format));
  HONE_RETURN_IF_ERROR(SyncFile(part));
  HONE_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(part, wanted));
  return sha256 == declared.sha256
             ? absl::OkStatus()
             : absl::InvalidArgumentError(absl::StrCat(
                   "sha256: ", declared.sha256, " was declared, but the bytes have ", sha256));
}

absl::Status Blobs::Publish(const std::string& upload, const store::DatasetBytes& declared) const {
  const std::string part = PartPath(upload);
  const std::string path = Path(declared);
  if (::rename(part.c_str(), path.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot rename ", part, " to ", path));
  }
  return SyncDirectory(datasets_);
}

absl::StatusOr<std::vector<std::string>> Blobs::Others(
    const std::vector<store::DatasetBytes>& bytes, const std::vector<std::string>& uploads) const {
  std::set<std::string> needed;
  for (const store::DatasetBytes& one : bytes) {
    needed.insert(Path(one));
  }
  for (const std::string& id : uploads) {
    needed.insert(PartPath(id));
  }
  std::vector<std::string> others;
  for (const std::string& folder : {datasets_, uploads_}) {
    HONE_ASSIGN_OR_RETURN(const std::vector<std::string> names, artifacts::EntriesOf(folder));
    for (const std::string& name : names) {
      std::string path = absl::StrCat(folder, "/", name);
      if (!needed.contains(path)) {
        others.push_back(std::move(path));
      }
    }
  }
  return others;
}

}  // namespace hone::server::datasets
