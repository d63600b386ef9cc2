#include "server/backup/make.h"

#include <fcntl.h>
#include <google/protobuf/util/time_util.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/files.h"
#include "engine/base/owned_fd.h"
#include "engine/base/status.h"
#include "server/artifacts/entries.h"
#include "server/backup/layout.h"
#include "server/datasets/blobs.h"
#include "server/store/snapshot.h"

namespace hone::server::backup {
namespace {

namespace fs = std::filesystem;

constexpr char kUnfinishedPrefix[] = ".unfinished-";
constexpr char kCheckpoints[] = "checkpoints";
// A run whose worker removes an old checkpoint, or begins another attempt, meanwhile is looked at
// again.
constexpr int kLooksAtRun = 100;

absl::Status MakeFolder(const std::string& path) {
  return ::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST
             ? absl::OkStatus()
             : ErrnoStatus(errno, absl::StrCat("cannot make ", path));
}

// The same file under another name; a copy where the file system has no links.
absl::Status LinkFile(const std::string& from, const std::string& to) {
  if (::link(from.c_str(), to.c_str()) == 0) {
    return absl::OkStatus();
  }
  if (errno != EPERM && errno != EOPNOTSUPP && errno != EMLINK) {
    return ErrnoStatus(errno, absl::StrCat("cannot link ", from));
  }
  return CopyFile(from, to, [](int64_t) { return absl::OkStatus(); }).status();
}

// Whether what has gone meanwhile is left out.
enum class Vanished { kError, kFine };

absl::Status LinkTree(const std::string& from, const std::string& to, Vanished vanished) {
  const absl::StatusOr<std::vector<std::string>> names = artifacts::EntriesOf(from);
  if (absl::IsNotFound(names.status()) && vanished == Vanished::kFine) {
    return absl::OkStatus();
  }
  HONE_RETURN_IF_ERROR(names.status());
  HONE_RETURN_IF_ERROR(MakeFolder(to));
  for (const std::string& name : *names) {
    const std::string path = absl::StrCat(from, "/", name);
    struct stat file = {};
    absl::Status status;
    if (::lstat(path.c_str(), &file) != 0) {
      status = ErrnoStatus(errno, absl::StrCat("cannot look at ", path));
    } else if (S_ISDIR(file.st_mode)) {
      // What begins so was never whole.
      status = absl::StartsWith(name, ".") ? absl::OkStatus()
                                           : LinkTree(path, absl::StrCat(to, "/", name), vanished);
    } else if (S_ISREG(file.st_mode)) {
      status = LinkFile(path, absl::StrCat(to, "/", name));
    }
    if (!absl::IsNotFound(status) || vanished == Vanished::kError) {
      HONE_RETURN_IF_ERROR(status);
    }
  }
  return absl::OkStatus();
}

// What of a run must not change while it is linked: its newest attempt and the newest checkpoint of
// that. "": there are none.
absl::StatusOr<std::string> NewestCheckpoint(const std::string& run) {
  std::string newest;
  absl::StatusOr<std::vector<std::string>> attempts = artifacts::EntriesOf(run);
  if (absl::IsNotFound(attempts.status())) {
    return newest;
  }
  HONE_RETURN_IF_ERROR(attempts.status());
  for (const std::string& attempt : *attempts) {
    const std::string folder = absl::StrCat(run, "/", attempt, "/", kCheckpoints);
    const absl::StatusOr<std::vector<std::string>> names = artifacts::EntriesOf(folder);
    for (const std::string& name : names.value_or(std::vector<std::string>())) {
      if (!absl::StartsWith(name, ".")) {
        newest = absl::StrCat(attempt, "/", name);  // both sorted
      }
    }
  }
  return newest;
}

// A checkpoint that was removed while it was linked is not whole, and an older one than the newest.
void DropTornCheckpoints(const std::string& run, const std::string& linked) {
  for (const std::string& attempt :
       artifacts::EntriesOf(linked).value_or(std::vector<std::string>())) {
    const std::string folder = absl::StrCat("/", attempt, "/", kCheckpoints, "/");
    for (const std::string& name :
         artifacts::EntriesOf(linked + folder).value_or(std::vector<std::string>())) {
      std::error_code ignored;
      if (!fs::exists(absl::StrCat(run, folder, name), ignored)) {
        fs::remove_all(absl::StrCat(linked, folder, name), ignored);
      }
    }
  }
}

absl::Status LinkRun(const std::string& run, const std::string& to) {
  for (int look = 0; look < kLooksAtRun; ++look) {
    HONE_ASSIGN_OR_RETURN(const std::string before, NewestCheckpoint(run));
    HONE_RETURN_IF_ERROR(LinkTree(run, to, Vanished::kFine));
    HONE_ASSIGN_OR_RETURN(const std::string after, NewestCheckpoint(run));
    if (before == after) {
      DropTornCheckpoints(run, to);
      return absl::OkStatus();
    }
    std::error_code error;
    fs::remove_all(to, error);
    if (error) {
      return ErrnoStatus(error.value(), absl::StrCat("cannot remove ", to));
    }
  }
  return absl::UnavailableError(
      absl::StrCat(run, ": its checkpoints change faster than they can be linked"));
}

// One backup that is being made.
class Maker {
 public:
  Maker(const artifacts::DataDirectory& directory, std::string target, const MakeHooks& hooks)
      : directory_(directory), target_(std::move(target)), hooks_(hooks) {}

  absl::Status Make(v1::Backup& backup) {
    HONE_ASSIGN_OR_RETURN(const std::string staged, directory_.MakeTemporary());
    const absl::Cleanup remove = [&] { artifacts::DataDirectory::Remove(staged); };
    HONE_ASSIGN_OR_RETURN(std::unique_ptr<store::Snapshot> snapshot, Stage(staged, backup));
    HONE_ASSIGN_OR_RETURN(progress_.bytes, snapshot->Bytes());
    HONE_RETURN_IF_ERROR(AddBytes(staged));
    HONE_RETURN_IF_ERROR(CheckSpace(progress_.bytes));
    HONE_RETURN_IF_ERROR(OpenManifest());
    HONE_RETURN_IF_ERROR(TakeStore(*snapshot));
    snapshot.reset();  // while it lives, the store's log grows
    HONE_RETURN_IF_ERROR(TakeFolder(staged, ""));
    if (::fsync(manifest_.get()) != 0) {
      return ErrnoStatus(errno, absl::StrCat("cannot sync ", target_, "/", kManifestFile));
    }
    backup.set_manifest_sha256(manifest_sha256_.Finish());
    backup.set_files(files_);
    backup.set_bytes(progress_.done);
    return absl::OkStatus();
  }

 private:
  // Links what the store names at this moment.
  absl::StatusOr<std::unique_ptr<store::Snapshot>> Stage(const std::string& staged,
                                                         v1::Backup& backup) {
    const std::unique_lock held = directory_.HoldRemovals();
    HONE_ASSIGN_OR_RETURN(std::unique_ptr<store::Snapshot> snapshot,
                          store::Snapshot::Take(directory_.store_path()));
    *backup.mutable_create_time() =
        google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(absl::Now()));
    for (const char* const part : {"/models", "/datasets", "/runs"}) {
      HONE_RETURN_IF_ERROR(MakeFolder(staged + part));
    }
    const auto link_model = [&](const std::string& id) -> absl::Status {
      HONE_RETURN_IF_ERROR(hooks_.go_on(progress_));
      return LinkTree(directory_.ModelDirectory(id), absl::StrCat(staged, "/models/", id),
                      Vanished::kError);
    };
    HONE_RETURN_IF_ERROR(snapshot->EachModel(link_model));
    const datasets::Blobs blobs(directory_.datasets_directory(), directory_.uploads_directory());
    HONE_RETURN_IF_ERROR(snapshot->EachDataset([&](const store::DatasetBytes& bytes) {
      const std::string path = blobs.Path(bytes);
      const std::string to = absl::StrCat(staged, "/datasets/", fs::path(path).filename().string());
      return ::access(to.c_str(), F_OK) == 0 ? absl::OkStatus() : LinkFile(path, to);
    }));
    const auto link_run = [&](const std::string& id) -> absl::Status {
      HONE_RETURN_IF_ERROR(hooks_.go_on(progress_));
      return LinkRun(directory_.RunDirectory(id), absl::StrCat(staged, "/runs/", id));
    };
    HONE_RETURN_IF_ERROR(snapshot->EachJob(link_run));
    return snapshot;
  }

  absl::Status AddBytes(const std::string& folder) {
    HONE_ASSIGN_OR_RETURN(const std::vector<std::string> names, artifacts::EntriesOf(folder));
    for (const std::string& name : names) {
      const std::string path = absl::StrCat(folder, "/", name);
      struct stat file = {};
      if (::lstat(path.c_str(), &file) != 0) {
        return ErrnoStatus(errno, absl::StrCat("cannot look at ", path));
      }
      if (S_ISDIR(file.st_mode)) {
        HONE_RETURN_IF_ERROR(AddBytes(path));
      } else {
        progress_.bytes += file.st_size;
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckSpace(int64_t more) const {
    std::error_code error;
    const fs::space_info space = fs::space(target_, error);
    if (error) {
      return ErrnoStatus(error.value(), absl::StrCat("cannot look at ", target_));
    }
    const auto free = static_cast<int64_t>(space.available);
    return free - (SameFileSystem() ? 0 : more) >= hooks_.disk_floor_bytes
               ? absl::OkStatus()
               : absl::ResourceExhaustedError(
                     absl::StrCat("the backup may need ", more, " bytes, and of the ", free,
                                  " that are free where it would be, --disk-floor-bytes keeps ",
                                  hooks_.disk_floor_bytes));
  }

  bool SameFileSystem() const {
    struct stat ours = {};
    struct stat theirs = {};
    return ::stat(directory_.root().c_str(), &ours) == 0 && ::stat(target_.c_str(), &theirs) == 0 &&
           ours.st_dev == theirs.st_dev;
  }

  absl::Status OpenManifest() {
    const std::string path = absl::StrCat(target_, "/", kManifestFile);
    manifest_ = OwnedFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    return manifest_.valid() ? absl::OkStatus()
                             : ErrnoStatus(errno, absl::StrCat("cannot create ", path));
  }

  absl::Status Add(const std::string& relative, const std::string& sha256) {
    const std::string line = ManifestLine({.path = relative, .sha256 = sha256});
    manifest_sha256_.Add(line);
    ++files_;
    return WriteAll(manifest_.get(), line, "cannot write the manifest");
  }

  absl::Status Done(int64_t bytes) {
    progress_.done += bytes;
    return hooks_.go_on(progress_);
  }

  absl::Status TakeStore(const store::Snapshot& snapshot) {
    const std::string path = target_ + "/store.db";
    HONE_RETURN_IF_ERROR(snapshot.CopyTo(path, [&] { return hooks_.go_on(progress_); }));
    const OwnedFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid() || ::fsync(file.get()) != 0) {
      return ErrnoStatus(errno, absl::StrCat("cannot sync ", path));
    }
    return Hash("store.db");
  }

  // Of a file that is at its place.
  absl::Status Hash(const std::string& relative) {
    const std::string path = absl::StrCat(target_, "/", relative);
    absl::Status go_on;
    const absl::StatusOr<std::string> sha256 = Sha256OfFile(path, [&] {
      go_on = hooks_.go_on(progress_);
      return go_on.ok();
    });
    HONE_RETURN_IF_ERROR(go_on);
    HONE_RETURN_IF_ERROR(sha256.status());
    std::error_code error;
    const uintmax_t bytes = fs::file_size(path, error);
    HONE_RETURN_IF_ERROR(Add(relative, *sha256));
    return Done(error ? 0 : static_cast<int64_t>(bytes));
  }

  // Files that are written while they are there, such as a worker's log, are copied.
  static bool MayBeLinked(absl::string_view relative) {
    return absl::StartsWith(relative, "models/") || absl::StartsWith(relative, "datasets/") ||
           absl::StrContains(relative, absl::StrCat("/", kCheckpoints, "/"));
  }

  absl::Status TakeFile(const std::string& from, const std::string& relative) {
    const std::string to = absl::StrCat(target_, "/", relative);
    if (MayBeLinked(relative) && ::link(from.c_str(), to.c_str()) == 0) {
      return Hash(relative);
    }
    HONE_ASSIGN_OR_RETURN(const std::string sha256,
                          CopyFile(from, to, [&](int64_t bytes) -> absl::Status {
                            since_look_ += bytes;
                            if (since_look_ > kLookEvery) {
                              since_look_ = 0;
                              HONE_RETURN_IF_ERROR(CheckSpace(0));
                            }
                            return Done(bytes);
                          }));
    return Add(relative, sha256);
  }

  absl::Status TakeFolder(const std::string& from, const std::string& relative) {
    HONE_ASSIGN_OR_RETURN(const std::vector<std::string> names, artifacts::EntriesOf(from));
    HONE_RETURN_IF_ERROR(MakeFolder(absl::StrCat(target_, "/", relative)));
    for (const std::string& name : names) {
      const std::string path = absl::StrCat(from, "/", name);
      const std::string below = relative.empty() ? name : absl::StrCat(relative, "/", name);
      std::error_code error;
      HONE_RETURN_IF_ERROR(fs::is_directory(path, error) ? TakeFolder(path, below)
                                                         : TakeFile(path, below));
    }
    return SyncDirectory(absl::StrCat(target_, "/", relative));
  }

  static constexpr int64_t kLookEvery = int64_t{64} << 20;  // bytes between looks at free disk

  const artifacts::DataDirectory& directory_;
  const std::string target_;
  const MakeHooks& hooks_;
  Progress progress_;
  int64_t files_ = 0;
  int64_t since_look_ = 0;
  OwnedFd manifest_;
  Sha256OfPieces manifest_sha256_;
};

}  // namespace

absl::StatusOr<v1::Backup> MakeBackup(const artifacts::DataDirectory& directory,
                                      const std::string& backups, const std::string& id,
                                      v1::Backup backup, const MakeHooks& hooks) {
  std::error_code error;
  if (!fs::is_directory(backups, error)) {
    return absl::NotFoundError(absl::StrCat(
        "there is no folder ", backups, " (--backup-dir); a disk may not be mounted, or make it"));
  }
  const std::string place = absl::StrCat(backups, "/", id);
  if (fs::exists(place, error)) {
    return absl::AlreadyExistsError(absl::StrCat("there is a backup ", BackupName(id)));
  }
  const std::string unfinished = absl::StrCat(backups, "/", kUnfinishedPrefix, id);
  artifacts::DataDirectory::Remove(unfinished);
  if (::mkdir(unfinished.c_str(), 0700) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot make ", unfinished));
  }
  absl::Cleanup remove = [&] { artifacts::DataDirectory::Remove(unfinished); };
  backup.set_format(kFormat);
  HONE_RETURN_IF_ERROR(Maker(directory, unfinished, hooks).Make(backup));
  backup.set_state(v1::Backup::SUCCEEDED);
  *backup.mutable_end_time() =
      google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(absl::Now()));
  HONE_RETURN_IF_ERROR(WriteHeader(unfinished, backup));
  HONE_RETURN_IF_ERROR(SyncDirectory(unfinished));
  if (::rename(unfinished.c_str(), place.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot rename ", unfinished));
  }
  std::move(remove).Cancel();
  HONE_RETURN_IF_ERROR(SyncDirectory(backups));
  return backup;
}

absl::Status RemoveBackup(const std::string& backups, const std::string& id) {
  const std::string away = absl::StrCat(backups, "/", kUnfinishedPrefix, id);
  artifacts::DataDirectory::Remove(away);
  const std::string place = absl::StrCat(backups, "/", id);
  if (::rename(place.c_str(), away.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot remove ", place));
  }
  artifacts::DataDirectory::Remove(away);
  return absl::OkStatus();
}

void RemoveUnfinished(const std::string& backups) {
  for (const std::string& name :
       artifacts::EntriesOf(backups).value_or(std::vector<std::string>())) {
    if (absl::StartsWith(name, kUnfinishedPrefix)) {
      artifacts::DataDirectory::Remove(absl::StrCat(backups, "/", name));
    }
  }
}

}  // namespace hone::server::backup
