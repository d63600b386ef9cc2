#include "engine/checkpoint/manifest.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/files.h"
#include "engine/base/json.h"
#include "engine/base/status.h"
#include "engine/checkpoint/durable_file.h"
#include "engine/checkpoint/safetensors_header.h"

namespace hone::engine::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr int kVersion = 1;
constexpr char kManifest[] = "manifest.json";
constexpr int64_t kMaxManifestBytes = 1 << 20;

std::string ParentOf(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

absl::Status Remove(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return error ? ErrnoStatus(error.value(), absl::StrCat("cannot remove ", path))
               : absl::OkStatus();
}

// Renames a folder over another one, in one step.
absl::Status Replace(const std::string& fresh, const std::string& place) {
  if (::rename(fresh.c_str(), place.c_str()) == 0) {
    return absl::OkStatus();
  }
  if (errno != EEXIST && errno != ENOTEMPTY) {
    return ErrnoStatus(errno, absl::StrCat("cannot rename to ", place));
  }
  if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, place.c_str(), RENAME_EXCHANGE) == 0) {
    return Remove(fresh);
  }
  if (errno != EINVAL && errno != ENOSYS) {
    return ErrnoStatus(errno, absl::StrCat("cannot exchange ", place));
  }
  // This file system cannot exchange: for a moment there is neither.
  HONE_RETURN_IF_ERROR(Remove(place));
  return ::rename(fresh.c_str(), place.c_str()) == 0
             ? absl::OkStatus()
             : ErrnoStatus(errno, absl::StrCat("cannot rename to ", place));
}

absl::StatusOr<WrittenFile> ParseEntry(const nlohmann::json& entry) {
  if (!entry.is_object() || !entry.contains("bytes") || !entry.contains("sha256") ||
      !entry["bytes"].is_number_unsigned() || !entry["sha256"].is_string()) {
    return absl::DataLossError("the manifest is damaged");
  }
  return WrittenFile{.bytes = entry["bytes"].get<int64_t>(),
                     .sha256 = entry["sha256"].get<std::string>()};
}

absl::StatusOr<std::map<std::string, WrittenFile>> ParseManifest(const std::string& text) {
  const absl::StatusOr<nlohmann::json> parsed = ParseJsonObject(text);
  if (absl::IsInvalidArgument(parsed.status())) {
    return absl::DataLossError(
        absl::StrCat("the manifest is damaged: ", parsed.status().message()));
  }
  HONE_RETURN_IF_ERROR(parsed.status());
  const nlohmann::json& json = *parsed;
  if (!json.contains("files") || !json["files"].is_object()) {
    return absl::DataLossError("the manifest is damaged: `files` must be an object");
  }
  if (!json.contains("version") || json["version"] != kVersion) {
    return absl::DataLossError(
        absl::StrCat("the manifest's version must be ", kVersion, " and is not"));
  }
  std::map<std::string, WrittenFile> files;
  for (const auto& [name, entry] : json["files"].items()) {
    if (name.empty() || name[0] == '.' || absl::StrContains(name, '/')) {
      return absl::DataLossError(absl::StrCat("the manifest names ", Shown(name)));
    }
    HONE_ASSIGN_OR_RETURN(files[name], ParseEntry(entry));
  }
  return files;
}

absl::Status CheckSize(const std::string& path, int64_t bytes) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::DataLossError(absl::StrCat(path, ": is missing"))
                           : ErrnoStatus(errno, absl::StrCat("cannot stat ", path));
  }
  if (info.st_size != bytes) {
    return absl::DataLossError(absl::StrCat(path, ": must have ", bytes, " bytes, has ",
                                            static_cast<int64_t>(info.st_size)));
  }
  return absl::OkStatus();
}

absl::Status CheckNamed(const std::string& directory,
                        const std::map<std::string, WrittenFile>& files,
                        std::span<const char* const> names) {
  for (const char* name : names) {
    if (!files.contains(name)) {
      return absl::DataLossError(absl::StrCat(directory, ": the manifest does not name ", name));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckFile(const std::string& path, const WrittenFile& file) {
  HONE_RETURN_IF_ERROR(CheckSize(path, file.bytes));
  HONE_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(path));
  if (sha256 != file.sha256) {
    return absl::DataLossError(absl::StrCat(path, ": SHA-256 must be ", Shown(file.sha256),
                                            ", is '", sha256, "': the file has changed"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FolderWriter> FolderWriter::Create(const std::string& temporary) {
  HONE_RETURN_IF_ERROR(Remove(temporary));
  std::error_code error;
  fs::create_directories(temporary, error);
  if (error) {
    return ErrnoStatus(error.value(), absl::StrCat("cannot make the folder ", temporary));
  }
  return FolderWriter(temporary);
}

FolderWriter::~FolderWriter() {
  if (!temporary_.empty()) {
    Remove(temporary_).IgnoreError();
  }
}

absl::Status FolderWriter::AddText(const std::string& name, absl::string_view text) {
  HONE_ASSIGN_OR_RETURN(DurableFile file, DurableFile::Create(absl::StrCat(temporary_, "/", name)));
  HONE_RETURN_IF_ERROR(file.Append(text));
  HONE_ASSIGN_OR_RETURN(files_[name], file.Finish());
  return absl::OkStatus();
}

absl::Status FolderWriter::AddTensors(const std::string& name,
                                      std::span<const TensorToWrite> tensors,
                                      const std::map<std::string, std::string>& metadata) {
  HONE_ASSIGN_OR_RETURN(files_[name],
                        WriteSafetensors(absl::StrCat(temporary_, "/", name), tensors, metadata));
  return absl::OkStatus();
}

absl::StatusOr<int64_t> FolderWriter::Publish(const std::string& place) && {
  nlohmann::json files = nlohmann::json::object();
  for (const auto& [name, file] : files_) {
    files[name] = {{"bytes", file.bytes}, {"sha256", file.sha256}};
  }
  const nlohmann::json manifest = {{"version", kVersion}, {"files", files}};
  HONE_RETURN_IF_ERROR(AddText(kManifest, manifest.dump(1) + "\n"));
  HONE_RETURN_IF_ERROR(SyncDirectory(temporary_));
  HONE_RETURN_IF_ERROR(Replace(temporary_, place));
  temporary_.clear();
  HONE_RETURN_IF_ERROR(SyncDirectory(ParentOf(place)));
  int64_t bytes = 0;
  for (const auto& [name, file] : files_) {
    bytes += file.bytes;
  }
  return bytes;
}

absl::StatusOr<std::map<std::string, WrittenFile>> ReadManifest(const std::string& directory) {
  struct stat info {};
  if (::stat(directory.c_str(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot open ", directory));
  }
  const std::string path = absl::StrCat(directory, "/", kManifest);
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxManifestBytes);
  if (absl::IsNotFound(text.status())) {
    return absl::DataLossError(absl::StrCat(
        text.status().message(), "; every folder of a model that Hone has written holds one"));
  }
  if (absl::IsInvalidArgument(text.status())) {
    return absl::DataLossError(text.status().message());
  }
  HONE_RETURN_IF_ERROR(text.status());
  absl::StatusOr<std::map<std::string, WrittenFile>> files = ParseManifest(*text);
  HONE_RETURN_IF_ERROR(Annotate(files.status(), path));
  return files;
}

absl::Status CheckSizes(const std::string& directory) {
  HONE_ASSIGN_OR_RETURN(const auto files, ReadManifest(directory));
  for (const auto& [name, file] : files) {
    HONE_RETURN_IF_ERROR(CheckSize(absl::StrCat(directory, "/", name), file.bytes));
  }
  return absl::OkStatus();
}

absl::Status CheckContents(const std::string& directory, std::span<const char* const> needed) {
  HONE_ASSIGN_OR_RETURN(const auto files, ReadManifest(directory));
  HONE_RETURN_IF_ERROR(CheckNamed(directory, files, needed));
  for (const auto& [name, file] : files) {
    HONE_RETURN_IF_ERROR(CheckFile(absl::StrCat(directory, "/", name), file));
  }
  return absl::OkStatus();
}

absl::Status CheckContentsOf(const std::string& directory, std::span<const char* const> names) {
  HONE_ASSIGN_OR_RETURN(const auto files, ReadManifest(directory));
  HONE_RETURN_IF_ERROR(CheckNamed(directory, files, names));
  HONE_RETURN_IF_ERROR(CheckSizes(directory));
  for (const char* name : names) {
    HONE_RETURN_IF_ERROR(CheckFile(absl::StrCat(directory, "/", name), files.at(name)));
  }
  return absl::OkStatus();
}

}  // namespace hone::engine::checkpoint
