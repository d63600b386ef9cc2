#include "server/backup/restore.h"

#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "server/artifacts/data_directory.h"
#include "server/artifacts/entries.h"
#include "server/backup/layout.h"
#include "server/command_line/parse.h"
#include "server/store/snapshot.h"

namespace hone::server::backup {
namespace {

namespace fs = std::filesystem;

constexpr char kStore[] = "store.db";

absl::Status ToStatus(const std::error_code& error, const std::string& context) {
  return error ? ErrnoStatus(error.value(), context) : absl::OkStatus();
}

// What a file system, or an earlier restore, puts into a folder that is as good as empty.
bool IsNothing(const std::string& name) { return name == "lost+found" || name == "lock"; }

// Leaves an empty folder.
absl::Status MakeRoom(const std::string& root) {
  std::error_code error;
  fs::create_directories(root, error);
  HONE_RETURN_IF_ERROR(ToStatus(error, absl::StrCat("cannot make ", root)));
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> names, artifacts::EntriesOf(root));
  const bool interrupted = fs::exists(absl::StrCat(root, "/", artifacts::kRestoring), error);
  for (const std::string& name : names) {
    if (!interrupted && !IsNothing(name)) {
      return absl::FailedPreconditionError(
          absl::StrCat(root, ": has ", name, " in it; restore to a folder that is empty"));
    }
  }
  for (const std::string& name : names) {
    // The mark goes last: without it the rest would be somebody's.
    if (!IsNothing(name) && name != artifacts::kRestoring) {
      fs::remove_all(absl::StrCat(root, "/", name), error);
      HONE_RETURN_IF_ERROR(ToStatus(error, absl::StrCat("cannot remove ", root, "/", name)));
    }
  }
  fs::remove_all(absl::StrCat(root, "/", artifacts::kRestoring), error);
  return ToStatus(error, absl::StrCat("cannot empty ", root));
}

absl::Status CheckSpace(const std::string& root, int64_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(root, error);
  HONE_RETURN_IF_ERROR(ToStatus(error, absl::StrCat("cannot look at ", root)));
  return static_cast<int64_t>(space.available) >= bytes
             ? absl::OkStatus()
             : absl::ResourceExhaustedError(absl::StrCat(root, ": the backup needs ", bytes,
                                                         " bytes, and ", space.available,
                                                         " are free"));
}

absl::Status Take(const std::string& backup, const v1::Backup& header, const std::string& to,
                  absl::FunctionRef<void(int64_t)> progress) {
  int64_t done = 0;
  int64_t files = 0;
  std::string folder = "none";  // the newest that was made
  const auto take = [&](const ManifestEntry& entry) -> absl::Status {
    const std::string parent = fs::path(entry.path).parent_path().string();
    if (parent != folder) {
      HONE_RETURN_IF_ERROR(MakeFolders(to, parent));
      folder = parent;
    }
    HONE_ASSIGN_OR_RETURN(const std::string sha256,
                          CopyFile(absl::StrCat(backup, "/", entry.path),
                                   absl::StrCat(to, "/", entry.path), [&](int64_t bytes) {
                                     done += bytes;
                                     progress(done);
                                     return absl::OkStatus();
                                   }));
    if (sha256 != entry.sha256) {
      return absl::DataLossError(absl::StrCat(backup, "/", entry.path,
                                              ": is damaged: it has the SHA-256 ", sha256,
                                              ", and the manifest says ", entry.sha256));
    }
    ++files;
    return absl::OkStatus();
  };
  HONE_RETURN_IF_ERROR(EachFile(backup, header, take));
  return files == header.files()
             ? absl::OkStatus()
             : absl::DataLossError(absl::StrCat(backup, ": the manifest names ", files,
                                                " files, and ", kHeaderFile, " ", header.files()));
}

// What was copied, and all names in the folders, are on the disk.
absl::Status SyncTree(const std::string& folder) {
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> names, artifacts::EntriesOf(folder));
  for (const std::string& name : names) {
    std::error_code error;
    const std::string path = absl::StrCat(folder, "/", name);
    if (fs::is_directory(path, error)) {
      HONE_RETURN_IF_ERROR(SyncTree(path));
    }
  }
  return SyncDirectory(folder);
}

// Each part to its place, the store last.
absl::Status MoveUp(const std::string& from, const std::string& root) {
  HONE_ASSIGN_OR_RETURN(std::vector<std::string> names, artifacts::EntriesOf(from));
  std::erase(names, kStore);
  names.push_back(kStore);
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(from, "/", name);
    if (::rename(path.c_str(), absl::StrCat(root, "/", name).c_str()) != 0) {
      return ErrnoStatus(errno, absl::StrCat("cannot rename ", path));
    }
  }
  HONE_RETURN_IF_ERROR(SyncDirectory(root));
  if (::rmdir(from.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot remove ", from));
  }
  return SyncDirectory(root);
}

}  // namespace

absl::StatusOr<v1::Backup> Restore(const std::string& backup, const std::string& data_directory,
                                   absl::FunctionRef<void(int64_t)> progress) {
  HONE_ASSIGN_OR_RETURN(const v1::Backup header, ReadHeader(backup));
  std::error_code error;
  fs::create_directories(data_directory, error);
  HONE_RETURN_IF_ERROR(ToStatus(error, absl::StrCat("cannot make ", data_directory)));
  // No server, and no other restore, uses it meanwhile.
  HONE_ASSIGN_OR_RETURN(const std::unique_ptr<artifacts::DataDirectory> directory,
                        artifacts::DataDirectory::OpenAsItIs(data_directory));
  const std::string root = directory->root();
  HONE_RETURN_IF_ERROR(MakeRoom(root));
  HONE_RETURN_IF_ERROR(CheckSpace(root, header.bytes()));
  const std::string to = absl::StrCat(root, "/", artifacts::kRestoring);
  if (::mkdir(to.c_str(), 0700) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot make ", to));
  }
  absl::Cleanup remove = [&] { artifacts::DataDirectory::Remove(to); };
  HONE_RETURN_IF_ERROR(SyncDirectory(root));
  HONE_RETURN_IF_ERROR(Take(backup, header, to, progress));
  HONE_RETURN_IF_ERROR(store::BeginGeneration(absl::StrCat(to, "/", kStore)));
  HONE_RETURN_IF_ERROR(SyncTree(to));
  // From here on what is there is a part of the whole: the mark stays if this is interrupted.
  std::move(remove).Cancel();
  HONE_RETURN_IF_ERROR(MoveUp(to, root));
  return header;
}

int Main(int argc, const char* const* argv) {
  std::string backup;
  std::string data_directory;
  CLI::App app("Makes a server's folder of a backup, which stays as it is.", "honed restore");
  app.add_option("BACKUP", backup, "The backup's folder, with backup.json in it")->required();
  app.add_option("--data-dir", data_directory, "The server's new folder: empty, or not there yet")
      ->envname("HONED_DATA_DIR")
      ->required();
  if (const auto exit = command_line::Parse(app, argc, argv); exit.has_value()) {
    return *exit;
  }
  constexpr int64_t kTellEvery = int64_t{1} << 30;
  int64_t told = 0;
  const absl::StatusOr<v1::Backup> restored = Restore(backup, data_directory, [&](int64_t done) {
    if (done >= told + kTellEvery) {
      told = done;
      std::fprintf(stderr, "%.1f GB\n", static_cast<double>(done) / 1e9);
    }
  });
  if (!restored.ok()) {
    std::fprintf(stderr, "honed restore: %s\n", std::string(restored.status().message()).c_str());
    return 1;
  }
  std::printf("%s is restored to %s: %lld files, %.1f MB, all as they were\n",
              restored->name().c_str(), data_directory.c_str(),
              static_cast<long long>(restored->files()),
              static_cast<double>(restored->bytes()) / 1e6);
  return 0;
}

}  // namespace hone::server::backup
