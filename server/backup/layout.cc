#include "server/backup/layout.h"

#include <fcntl.h>
#include <google/protobuf/util/json_util.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/files.h"
#include "engine/base/owned_fd.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "server/jobs/reason.h"
#include "server/jobs/validate.h"

namespace hone::server::backup {
namespace {

constexpr char kNamePrefix[] = "backups/";
constexpr int64_t kMostHeaderBytes = 1 << 20;
constexpr size_t kHashDigits = 64;
constexpr size_t kMostFindings = 100;
constexpr size_t kPieceBytes = 1 << 20;

bool IsHash(absl::string_view text) {
  return text.size() == kHashDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isdigit(static_cast<unsigned char>(c)) || (c >= 'a' && c <= 'f');
         });
}

// It stays inside the folder that it begins in.
bool IsInside(absl::string_view path) {
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return false;
    }
  }
  return !absl::StrContains(path, '\0');
}

// Of the system's end of a file that it has written.
absl::Status SyncAndClose(OwnedFd fd, const std::string& path) {
  return ::fsync(fd.get()) == 0 ? absl::OkStatus()
                                : ErrnoStatus(errno, absl::StrCat("cannot sync ", path));
}

}  // namespace

std::string ManifestLine(const ManifestEntry& entry) {
  const std::string escaped =
      absl::StrReplaceAll(entry.path, {{"\\", "\\\\"}, {"\n", "\\n"}, {"\r", "\\r"}});
  return absl::StrCat(escaped == entry.path ? "" : "\\", entry.sha256, "  ", escaped, "\n");
}

absl::StatusOr<ManifestEntry> ParseManifestLine(absl::string_view line) {
  ManifestEntry entry;
  absl::string_view rest = line;
  const bool escaped = absl::ConsumePrefix(&rest, "\\");
  if (rest.size() < kHashDigits + 3 || !IsHash(rest.substr(0, kHashDigits)) ||
      rest.substr(kHashDigits, 2) != "  ") {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", CutUtf8(line, 200), "\" is no line of a manifest"));
  }
  entry.sha256 = std::string(rest.substr(0, kHashDigits));
  rest.remove_prefix(kHashDigits + 2);
  for (size_t i = 0; i < rest.size(); ++i) {
    if (escaped && rest[i] == '\\' && i + 1 < rest.size()) {
      ++i;
      entry.path += rest[i] == 'n' ? '\n' : rest[i] == 'r' ? '\r' : rest[i];
    } else {
      entry.path += rest[i];
    }
  }
  if (!IsInside(entry.path)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the manifest names \"", CutUtf8(entry.path, 200), "\", which is no file of the backup"));
  }
  return entry;
}

std::string BackupName(absl::string_view id) { return absl::StrCat(kNamePrefix, id); }

absl::StatusOr<std::string> BackupId(absl::string_view name) {
  absl::string_view id = name;
  if (!absl::ConsumePrefix(&id, kNamePrefix) || !jobs::IsDatasetName(id)) {
    return jobs::WithReason(absl::InvalidArgumentError(absl::StrCat(
                                "name: must be backups/<id>, got \"", CutUtf8(name, 100), "\"")),
                            jobs::reason::kInvalidName);
  }
  return std::string(id);
}

absl::StatusOr<v1::Backup> ReadHeader(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kHeaderFile);
  absl::StatusOr<std::string> text = ReadFile(path, kMostHeaderBytes);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(
        absl::StrCat(folder, ": is no backup: there is no ", kHeaderFile, " in it"));
  }
  HONE_RETURN_IF_ERROR(text.status());
  v1::Backup backup;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  if (!google::protobuf::util::JsonStringToMessage(*text, &backup, options).ok() ||
      backup.format() < 1 || !IsHash(backup.manifest_sha256())) {
    return absl::DataLossError(absl::StrCat(path, ": is damaged"));
  }
  if (backup.format() > kFormat) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": a newer version made the backup (format ", backup.format(),
                     "; this program knows ", kFormat, ")"));
  }
  return backup;
}

absl::Status WriteHeader(const std::string& folder, const v1::Backup& backup) {
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  if (!google::protobuf::util::MessageToJsonString(backup, &text, options).ok()) {
    return absl::InternalError("the backup's description cannot be written");
  }
  return WriteFileDurably(absl::StrCat(folder, "/", kHeaderFile), text);
}

absl::Status EachFile(const std::string& folder, const v1::Backup& header,
                      absl::FunctionRef<absl::Status(const ManifestEntry&)> one) {
  const std::string path = absl::StrCat(folder, "/", kManifestFile);
  HONE_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(path));
  if (sha256 != header.manifest_sha256()) {
    return absl::DataLossError(absl::StrCat(path, ": is damaged: it has the SHA-256 ", sha256,
                                            ", and ", kHeaderFile, " says ",
                                            header.manifest_sha256()));
  }
  std::ifstream file(path, std::ios::binary);
  for (std::string line; std::getline(file, line);) {
    HONE_ASSIGN_OR_RETURN(const ManifestEntry entry, ParseManifestLine(line));
    HONE_RETURN_IF_ERROR(one(entry));
  }
  return file.eof() ? absl::OkStatus()
                    : absl::UnavailableError(absl::StrCat(path, ": cannot be read to its end"));
}

absl::StatusOr<std::vector<std::string>> FindDamage(const std::string& folder) {
  HONE_ASSIGN_OR_RETURN(const v1::Backup header, ReadHeader(folder));
  std::vector<std::string> findings;
  HONE_RETURN_IF_ERROR(EachFile(folder, header, [&](const ManifestEntry& entry) -> absl::Status {
    if (findings.size() >= kMostFindings) {
      return absl::OkStatus();
    }
    const absl::StatusOr<std::string> sha256 = Sha256OfFile(absl::StrCat(folder, "/", entry.path));
    if (!sha256.ok()) {
      findings.push_back(std::string(sha256.status().message()));
    } else if (*sha256 != entry.sha256) {
      findings.push_back(absl::StrCat(folder, "/", entry.path, ": has the SHA-256 ", *sha256,
                                      ", and the manifest says ", entry.sha256));
    }
    return absl::OkStatus();
  }));
  return findings;
}

absl::StatusOr<std::string> CopyFile(const std::string& from, const std::string& to,
                                     absl::FunctionRef<absl::Status(int64_t)> piece) {
  const OwnedFd source(::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!source.valid()) {
    return ErrnoStatus(errno, absl::StrCat("cannot open ", from));
  }
  OwnedFd target(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!target.valid()) {
    return ErrnoStatus(errno, absl::StrCat("cannot create ", to));
  }
  Sha256OfPieces sha256;
  std::string buffer(kPieceBytes, '\0');
  for (;;) {
    const ssize_t read = ::read(source.get(), buffer.data(), buffer.size());
    if (read < 0 && errno == EINTR) {
      continue;
    }
    if (read < 0) {
      return ErrnoStatus(errno, absl::StrCat("cannot read ", from));
    }
    if (read == 0) {
      break;
    }
    const absl::string_view bytes(buffer.data(), static_cast<size_t>(read));
    sha256.Add(bytes);
    HONE_RETURN_IF_ERROR(WriteAll(target.get(), bytes, absl::StrCat("cannot write ", to)));
    HONE_RETURN_IF_ERROR(piece(read));
  }
  HONE_RETURN_IF_ERROR(SyncAndClose(std::move(target), to));
  return sha256.Finish();
}

absl::Status MakeFolders(const std::string& root, absl::string_view relative) {
  std::string folder = root;
  for (const absl::string_view part : absl::StrSplit(relative, '/', absl::SkipEmpty())) {
    const std::string above = folder;
    absl::StrAppend(&folder, "/", part);
    if (::mkdir(folder.c_str(), 0700) == 0) {
      HONE_RETURN_IF_ERROR(SyncDirectory(above));
    } else if (errno != EEXIST) {
      return ErrnoStatus(errno, absl::StrCat("cannot make ", folder));
    }
  }
  return absl::OkStatus();
}

}  // namespace hone::server::backup
