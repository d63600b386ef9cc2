#include "engine/data/file_tree.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/memory_error.h"
#include "engine/base/owned_fd.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"

namespace hone::engine::data {
namespace {

using VisitFile = absl::FunctionRef<absl::StatusOr<Visit>(const TreeFile& file)>;

constexpr int kDeepest = 8;  // folders below the first
constexpr int64_t kMostFiles = 20000000;

// Reads a file of a folder from its begin, opened when it is first asked.
class FileReader {
 public:
  explicit FileReader(std::string path) : path_(std::move(path)) {}

  absl::StatusOr<int64_t> Read(char* out, int64_t size) {
    if (!file_.valid()) {
      file_ = OwnedFd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
      if (!file_.valid()) {
        return ErrnoStatus(errno, absl::StrCat("cannot open ", path_));
      }
    }
    int64_t done = 0;
    while (done < size) {
      const ssize_t got = ::read(file_.get(), out + done, static_cast<size_t>(size - done));
      if (got == 0) {
        break;
      }
      if (got > 0) {
        done += got;
      } else if (errno != EINTR) {
        return ErrnoStatus(errno, absl::StrCat("cannot read ", path_));
      }
    }
    return done;
  }

 private:
  std::string path_;
  OwnedFd file_;
};

absl::Status ForEachInFolder(const std::string& path, VisitFile visit) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<fs::path> files;
  fs::recursive_directory_iterator entries(path, error);
  for (; !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    if (entries.depth() >= kDeepest) {
      entries.disable_recursion_pending();
    }
    std::error_code ignored;
    if (entries->symlink_status(ignored).type() == fs::file_type::regular) {
      files.push_back(entries->path());
    }
    if (static_cast<int64_t>(files.size()) > kMostFiles) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": has more than ", kMostFiles, " files"));
    }
  }
  if (error) {
    return ErrnoStatus(error.value(), path);
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    const auto read = [&](int64_t max_bytes) { return ReadFile(file.string(), max_bytes); };
    FileReader reader(file.string());
    const auto read_some = [&](char* out, int64_t size) { return reader.Read(out, size); };
    const auto bytes = static_cast<int64_t>(fs::file_size(file, error));
    HONE_ASSIGN_OR_RETURN(const Visit next,
                          visit({fs::path(file).lexically_relative(path).generic_string(),
                                 error ? 0 : bytes, read, read_some}));
    if (next == Visit::kStop) {
      break;
    }
  }
  return absl::OkStatus();
}

absl::Status Damaged(const std::string& path, archive* reader) {
  const char* why = archive_error_string(reader);
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": damaged or truncated archive: ", why == nullptr ? "unknown" : why));
}

// Reads an entry of an archive, at which its reader stands, from its begin.
class EntryReader {
 public:
  EntryReader(std::string where, archive* reader, int64_t bytes)
      : where_(std::move(where)), reader_(reader), bytes_(bytes) {}

  absl::StatusOr<int64_t> Read(char* out, int64_t size) {
    int64_t done = 0;
    while (done < size && done_ < bytes_) {
      const auto got = archive_read_data(
          reader_, out + done, static_cast<size_t>(std::min(size - done, bytes_ - done_)));
      if (got < 0) {
        return Damaged(where_, reader_);
      }
      if (got == 0) {
        return absl::InvalidArgumentError(
            absl::StrCat(where_, ": truncated: ", done_, " of ", bytes_, " bytes are there"));
      }
      done += got;
      done_ += got;
    }
    return done;
  }

  absl::StatusOr<std::string> ReadAll(int64_t max_bytes) {
    if (bytes_ < 0 || bytes_ > max_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(where_, ": is ", bytes_, " bytes; at most ", max_bytes, " are read"));
    }
    std::string contents(static_cast<size_t>(bytes_), '\0');
    HONE_RETURN_IF_ERROR(Read(contents.data(), bytes_).status());
    return contents;
  }

 private:
  std::string where_;
  archive* reader_;
  int64_t bytes_;
  int64_t done_ = 0;
};

enum class ArchiveKind { kTar, kTarToUnpack, kZip };

// What is safe to write under a folder by its name in the archive.
absl::Status CheckEntry(const std::string& path, archive_entry* entry) {
  const char* const name = archive_entry_pathname(entry);
  const auto wrong = [&](const auto&... words) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": the entry \"", absl::CHexEscape(name == nullptr ? "" : name), "\" ", words...));
  };
  const auto type = archive_entry_filetype(entry);
  if (name == nullptr || *name == '\0') {
    return wrong("has no name");
  }
  if (archive_entry_hardlink(entry) != nullptr || archive_entry_symlink(entry) != nullptr ||
      (type != AE_IFREG && type != AE_IFDIR)) {
    return wrong("must be a file or a folder, not a link or a device");
  }
  if (!CheckUtf8(name).ok()) {
    return wrong("must have a name that is UTF-8");
  }
  const std::filesystem::path parts(name);
  if (parts.is_absolute() || std::ranges::find(parts, "..") != parts.end()) {
    return wrong("leads out of the archive's folder");
  }
  return absl::OkStatus();
}

absl::Status ForEachInArchive(const std::string& path, ArchiveKind kind, VisitFile visit) {
  const std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(),
                                                                      archive_read_free);
  if (reader == nullptr) {
    return OutOfMemoryError(absl::StrCat(path, ": no memory to read the archive"));
  }
  if (kind == ArchiveKind::kZip) {
    archive_read_support_format_zip_seekable(reader.get());
  } else {
    archive_read_support_filter_gzip(reader.get());
    archive_read_support_format_tar(reader.get());
  }
  if (archive_read_open_filename(reader.get(), path.c_str(), 1 << 16) != ARCHIVE_OK) {
    return Damaged(path, reader.get());
  }
  archive_entry* entry = nullptr;
  for (int64_t files = 0;; ++files) {
    const int code = archive_read_next_header(reader.get(), &entry);
    if (code == ARCHIVE_EOF) {
      return absl::OkStatus();
    }
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN) {
      return Damaged(path, reader.get());
    }
    if (files > kMostFiles) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": has more than ", kMostFiles, " files"));
    }
    if (kind == ArchiveKind::kTarToUnpack) {
      HONE_RETURN_IF_ERROR(CheckEntry(path, entry));
    }
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr || archive_entry_filetype(entry) != AE_IFREG) {
      continue;
    }
    const std::string clean = std::filesystem::path(name).lexically_normal().generic_string();
    const int64_t bytes = archive_entry_size(entry);
    EntryReader entry_reader(absl::StrCat(path, "/", clean), reader.get(), bytes);
    const auto read = [&](int64_t max_bytes) { return entry_reader.ReadAll(max_bytes); };
    const auto read_some = [&](char* out, int64_t size) { return entry_reader.Read(out, size); };
    HONE_ASSIGN_OR_RETURN(const Visit next, visit({clean, bytes, read, read_some}));
    if (next == Visit::kStop) {
      return absl::OkStatus();
    }
  }
}

}  // namespace

absl::Status ForEachFile(const std::string& path, VisitFile visit) {
  std::error_code error;
  return std::filesystem::is_directory(path, error)
             ? ForEachInFolder(path, visit)
             : ForEachInArchive(path, ArchiveKind::kTar, visit);
}

absl::Status ForEachFileToUnpack(const std::string& path, VisitFile visit) {
  return ForEachInArchive(path, ArchiveKind::kTarToUnpack, visit);
}

absl::StatusOr<std::map<std::string, std::string>> ReadZip(const std::string& path,
                                                           std::span<const std::string> wanted,
                                                           int64_t max_bytes) {
  std::map<std::string, std::string> found;
  HONE_RETURN_IF_ERROR(
      ForEachInArchive(path, ArchiveKind::kZip, [&](const TreeFile& file) -> absl::StatusOr<Visit> {
        if (std::ranges::find(wanted, file.name) != wanted.end() && !found.contains(file.name)) {
          HONE_ASSIGN_OR_RETURN(found[file.name], file.read(max_bytes));
        }
        return found.size() == wanted.size() ? Visit::kStop : Visit::kGoOn;
      }));
  return found;
}

bool IsArchiveName(const std::string& path) {
  const std::string name = absl::AsciiStrToLower(path);
  return absl::EndsWith(name, ".tar") || absl::EndsWith(name, ".tar.gz") ||
         absl::EndsWith(name, ".tgz");
}

bool HasFile(const std::string& path, absl::FunctionRef<bool(const std::string& name)> wanted) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error) && !IsArchiveName(path)) {
    return false;
  }
  bool found = false;
  const absl::Status visited =
      ForEachFile(path, [&](const TreeFile& file) -> absl::StatusOr<Visit> {
        found = wanted(file.name);
        return found ? Visit::kStop : Visit::kGoOn;
      });
  return found && visited.ok();
}

}  // namespace hone::engine::data
