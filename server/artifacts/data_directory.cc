#include "server/artifacts/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <system_error>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "server/artifacts/entries.h"
#include "server/jobs/job.h"

namespace hone::server::artifacts {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFiles = 10'000;
constexpr char kAttemptPrefix[] = "attempt-";
// In the folder of a job whose checkpoints were removed: it is not one that never had any.
constexpr char kRemovedMark[] = "checkpoints-removed";
constexpr const char* kParts[] = {"runs", "models", "cache", "datasets", "uploads", "tmp"};

absl::Status ToStatus(const std::error_code& error, absl::string_view context) {
  return error ? ErrnoStatus(error.value(), context) : absl::OkStatus();
}

// False: there is something else, or nothing. An error: that cannot be told.
absl::StatusOr<bool> IsDirectory(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::status_known(status)) {
    return ToStatus(error, absl::StrCat("cannot look at ", path));
  }
  return fs::is_directory(status);
}

// Durable, with the folders above it that are missing.
absl::Status MakeDirectory(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(const bool is_there, IsDirectory(path));
  if (is_there) {
    return absl::OkStatus();
  }
  std::error_code error;
  const fs::path above = fs::path(path).parent_path();
  if (!above.empty()) {
    HONE_RETURN_IF_ERROR(MakeDirectory(above.string()));
  }
  fs::create_directory(path, error);
  HONE_RETURN_IF_ERROR(ToStatus(error, absl::StrCat("cannot create folder ", path)));
  return SyncDirectory(above.empty() ? "." : above.string());
}

absl::Status Rename(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::rename(from, to, error);
  HONE_RETURN_IF_ERROR(ToStatus(error, absl::StrCat("cannot rename ", from, " to ", to)));
  return SyncDirectory(fs::path(to).parent_path().string());
}

// Of the files under a folder. Files and folders come and go meanwhile: one that has gone, or
// cannot be read, does not hide the others. A file of several names counts once.
int64_t BytesUnder(const std::string& folder) {
  int64_t bytes = 0;
  std::set<ino_t> seen;
  std::vector<std::string> folders = {folder};
  while (!folders.empty()) {
    const std::string next = std::move(folders.back());
    folders.pop_back();
    for (const std::string& name : EntriesOf(next).value_or(std::vector<std::string>())) {
      std::string path = absl::StrCat(next, "/", name);
      struct stat file = {};
      if (::lstat(path.c_str(), &file) != 0) {
        continue;
      }
      if (S_ISDIR(file.st_mode)) {
        folders.push_back(std::move(path));
      } else if (S_ISREG(file.st_mode) && (file.st_nlink == 1 || seen.insert(file.st_ino).second)) {
        bytes += file.st_size;
      }
    }
  }
  return bytes;
}

// The highest attempt that has a folder; 0: none. An error where that cannot be told: whoever takes
// it for none hides what the attempts wrote.
absl::StatusOr<int> LatestAttempt(const std::string& run) {
  const absl::StatusOr<std::vector<std::string>> names = EntriesOf(run);
  if (absl::IsNotFound(names.status())) {
    return 0;
  }
  HONE_RETURN_IF_ERROR(names.status());
  int latest = 0;
  for (const std::string& name : *names) {
    absl::string_view number = name;
    int attempt = 0;
    if (absl::ConsumePrefix(&number, kAttemptPrefix) && absl::SimpleAtoi(number, &attempt)) {
      latest = std::max(latest, attempt);
    }
  }
  return latest;
}

// A run's checkpoints.
struct Checkpoints {
  std::string folder;
  std::vector<std::string> names = {};  // sorted; those that begin with '.' were never whole

  bool AnyWhole() const {
    return std::any_of(names.begin(), names.end(),
                       [](const std::string& name) { return !absl::StartsWith(name, "."); });
  }
};

absl::StatusOr<Checkpoints> CheckpointsOf(const std::string& run) {
  HONE_ASSIGN_OR_RETURN(const int latest, LatestAttempt(run));
  Checkpoints checkpoints{.folder = absl::StrCat(run, "/", kAttemptPrefix, latest, "/checkpoints")};
  absl::StatusOr<std::vector<std::string>> names = EntriesOf(checkpoints.folder);
  if (!absl::IsNotFound(names.status())) {
    HONE_ASSIGN_OR_RETURN(checkpoints.names, std::move(names));
  }
  return checkpoints;
}

absl::Status SyncFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return ErrnoStatus(errno, path);
  }
  const absl::Status status = ::fsync(fd) == 0 ? absl::OkStatus() : ErrnoStatus(errno, path);
  ::close(fd);
  return status;
}

// The same file under the name `to`. It is linked, which takes no time and no room (a checkpoint's
// files are never written again, only removed), or copied where the file system has no links.
absl::Status LinkFile(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::create_hard_link(from, to, error);
  if (error != std::errc::operation_not_permitted && error != std::errc::operation_not_supported &&
      error != std::errc::too_many_links) {
    return ToStatus(error, from);
  }
  fs::copy_file(from, to, error);
  HONE_RETURN_IF_ERROR(ToStatus(error, from));
  return SyncFile(to);
}

// The same files in the new folder `to`, durable. fs::copy throws, also where it is given an
// error_code, when a folder cannot be read to its end.
absl::Status LinkTree(const std::string& from, const std::string& to) {
  HONE_ASSIGN_OR_RETURN(const std::vector<std::string> names, EntriesOf(from));
  HONE_RETURN_IF_ERROR(MakeDirectory(to));
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(from, "/", name);
    const std::string linked = absl::StrCat(to, "/", name);
    std::error_code error;
    const fs::file_status status = fs::symlink_status(path, error);
    HONE_RETURN_IF_ERROR(ToStatus(error, path));
    if (!fs::is_directory(status) && !fs::is_regular_file(status)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": a checkpoint holds folders and plain files, no links"));
    }
    HONE_RETURN_IF_ERROR(fs::is_directory(status) ? LinkTree(path, linked)
                                                  : LinkFile(path, linked));
  }
  return SyncDirectory(to);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataDirectory>> DataDirectory::Open(const std::string& root) {
  HONE_RETURN_IF_ERROR(MakeDirectory(root));
  std::error_code error;
  if (fs::exists(absl::StrCat(root, "/", kRestoring), error)) {
    return absl::FailedPreconditionError(absl::StrCat(
        root, ": a restore was interrupted here; run `honed restore` again, which begins anew"));
  }
  HONE_ASSIGN_OR_RETURN(std::unique_ptr<DataDirectory> directory, Lock(root, O_CREAT));
  Remove(directory->root_ + "/tmp");
  for (const char* const part : kParts) {
    HONE_RETURN_IF_ERROR(MakeDirectory(absl::StrCat(directory->root_, "/", part)));
  }
  return directory;
}

absl::StatusOr<std::unique_ptr<DataDirectory>> DataDirectory::OpenAsItIs(const std::string& root) {
  return Lock(root, 0);
}

absl::StatusOr<std::unique_ptr<DataDirectory>> DataDirectory::Lock(const std::string& root,
                                                                   int create) {
  std::error_code error;
  const std::string real = fs::canonical(root, error).string();
  HONE_RETURN_IF_ERROR(ToStatus(error, root));
  const std::string lock = real + "/lock";
  int fd = ::open(lock.c_str(), (create != 0 ? O_RDWR : O_RDONLY) | create | O_CLOEXEC, 0644);
  if (fd < 0 && errno == ENOENT) {
    fd = ::open(real.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);  // no server was ever here
  }
  if (fd < 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot open ", lock));
  }
  std::unique_ptr<DataDirectory> directory(new DataDirectory(real, fd));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the data directory ", real, " is in use by another server"));
  }
  return directory;
}

DataDirectory::~DataDirectory() { ::close(lock_fd_); }

std::string DataDirectory::ModelDirectory(const std::string& model_id) const {
  return absl::StrCat(root_, "/models/", model_id);
}

std::string DataDirectory::AttemptDirectory(const std::string& job_id, int attempt) const {
  return absl::StrCat(root_, "/runs/", job_id, "/", kAttemptPrefix, attempt);
}

std::string DataDirectory::ArtifactsDirectory(const std::string& job_id, int attempt) const {
  return absl::StrCat(AttemptDirectory(job_id, attempt), "/artifacts");
}

std::string DataDirectory::TensorBoardDirectory(const std::string& job_id) const {
  return absl::StrCat(root_, "/runs/", job_id, "/tensorboard");
}

absl::StatusOr<std::string> DataDirectory::PrepareAttempt(const std::string& job_id,
                                                          int attempt) const {
  const std::string run = absl::StrCat(root_, "/runs/", job_id);
  const std::string wanted = absl::StrCat(run, "/", kAttemptPrefix, attempt);
  HONE_RETURN_IF_ERROR(MakeDirectory(run));
  HONE_ASSIGN_OR_RETURN(const int latest, LatestAttempt(run));
  if (latest > 0 && latest != attempt) {
    HONE_RETURN_IF_ERROR(Rename(absl::StrCat(run, "/", kAttemptPrefix, latest), wanted));
  }
  HONE_RETURN_IF_ERROR(MakeDirectory(wanted));
  return wanted;
}

absl::Status DataDirectory::InheritCheckpoints(const std::string& from_job,
                                               const std::string& to_job) const {
  const std::string from = absl::StrCat(root_, "/runs/", from_job);
  const std::string to = absl::StrCat(root_, "/runs/", to_job);
  std::error_code error;
  const bool has_folder = fs::exists(to, error);
  HONE_RETURN_IF_ERROR(ToStatus(error, to));
  HONE_ASSIGN_OR_RETURN(const Checkpoints checkpoints, CheckpointsOf(from));
  if (has_folder || checkpoints.names.empty()) {
    return absl::OkStatus();
  }
  // Whole or not at all; the worker verifies each file's SHA-256.
  HONE_ASSIGN_OR_RETURN(const std::string copy, MakeTemporary());
  const std::string attempt = absl::StrCat(copy, "/", kAttemptPrefix, 1);
  absl::Status status = MakeDirectory(attempt);
  if (status.ok()) {
    status = LinkTree(checkpoints.folder, attempt + "/checkpoints");
  }
  if (status.ok()) {
    status = SyncDirectory(attempt);
  }
  if (status.ok()) {
    status = Rename(copy, to);
  }
  if (!status.ok()) {
    Remove(copy);
  }
  return status;
}

std::string DataDirectory::RunDirectory(const std::string& job_id) const {
  return absl::StrCat(root_, "/runs/", job_id);
}

std::unique_lock<std::shared_mutex> DataDirectory::HoldRemovals() const {
  return std::unique_lock(removals_);
}

std::shared_lock<std::shared_mutex> DataDirectory::TryToRemove() const {
  return {removals_, std::try_to_lock};
}

absl::Status DataDirectory::PutAway(const std::string& folder) const {
  const std::shared_lock removing(removals_);
  // What is left in tmp/ by a crash goes at the next start.
  const std::string away = absl::StrCat(root_, "/tmp/", jobs::NewId());
  const absl::Status renamed = Rename(folder, away);
  if (absl::IsNotFound(renamed)) {
    return absl::OkStatus();
  }
  HONE_RETURN_IF_ERROR(renamed);
  Remove(away);
  return absl::OkStatus();
}

absl::Status DataDirectory::RemoveModel(const std::string& model_id) const {
  return PutAway(ModelDirectory(model_id));
}

absl::StatusOr<std::vector<std::string>> DataDirectory::Runs() const {
  return EntriesOf(root_ + "/runs");
}

absl::StatusOr<CheckpointFiles> DataDirectory::FindCheckpoints(const std::string& job_id) const {
  HONE_ASSIGN_OR_RETURN(const Checkpoints checkpoints,
                        CheckpointsOf(absl::StrCat(root_, "/runs/", job_id)));
  return checkpoints.names.empty() ? CheckpointFiles::kNone
         : checkpoints.AnyWhole()  ? CheckpointFiles::kWhole
                                   : CheckpointFiles::kUnfinished;
}

absl::Status DataDirectory::RemoveCheckpoints(const std::string& job_id) const {
  const std::shared_lock removing(removals_);
  const std::string run = RunDirectory(job_id);
  HONE_ASSIGN_OR_RETURN(const Checkpoints checkpoints, CheckpointsOf(run));
  // The mark comes first: a server that is killed in between has told nothing that is not so.
  if (checkpoints.AnyWhole()) {
    HONE_RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(run, "/", kRemovedMark), ""));
  }
  for (const std::string& name : checkpoints.names) {
    Remove(absl::StrCat(checkpoints.folder, "/", name));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> DataDirectory::CheckpointsWereRemoved(const std::string& job_id) const {
  const std::string run = absl::StrCat(root_, "/runs/", job_id);
  std::error_code error;
  const bool marked = fs::exists(absl::StrCat(run, "/", kRemovedMark), error);
  HONE_RETURN_IF_ERROR(ToStatus(error, run));
  HONE_ASSIGN_OR_RETURN(const CheckpointFiles files, FindCheckpoints(job_id));
  return marked && files == CheckpointFiles::kNone;
}

absl::Status DataDirectory::RemoveRun(const std::string& job_id) const {
  return PutAway(absl::StrCat(root_, "/runs/", job_id));
}

absl::StatusOr<std::vector<v1::ModelFile>> ListFiles(const std::string& directory,
                                                     absl::FunctionRef<bool()> wanted) {
  std::vector<v1::ModelFile> files;
  std::error_code error;
  fs::recursive_directory_iterator it(directory, error);
  for (const fs::recursive_directory_iterator end; !error && it != end; it.increment(error)) {
    const std::string path = it->path().string();
    const fs::file_status status = it->symlink_status(error);
    HONE_RETURN_IF_ERROR(ToStatus(error, path));
    if (fs::is_directory(status)) {
      continue;
    }
    if (!fs::is_regular_file(status) || files.size() >= kMaxFiles) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": a model holds at most ", kMaxFiles, " plain files, no links"));
    }
    v1::ModelFile& file = files.emplace_back();
    const std::string name = it->path().lexically_relative(directory).string();
    if (!CheckUtf8(name).ok()) {  // which no answer could name
      return absl::InvalidArgumentError(
          absl::StrCat("the file \"", absl::CHexEscape(name), "\" must have a name that is UTF-8"));
    }
    file.set_path(name);
    const uintmax_t bytes = fs::file_size(it->path(), error);
    HONE_RETURN_IF_ERROR(ToStatus(error, path));
    file.set_bytes(static_cast<int64_t>(bytes));
    HONE_ASSIGN_OR_RETURN(const std::string sha256, Sha256OfFile(path, wanted));
    file.set_sha256(sha256);
  }
  // Also where it is the end of what could be read, and not of what is there.
  HONE_RETURN_IF_ERROR(ToStatus(error, absl::StrCat("cannot list ", directory)));
  std::sort(files.begin(), files.end(),
            [](const v1::ModelFile& a, const v1::ModelFile& b) { return a.path() < b.path(); });
  return files;
}

absl::StatusOr<std::vector<v1::ModelFile>> DataDirectory::Publish(
    const std::string& attempt_directory, const std::string& relative, const std::string& model_id,
    absl::FunctionRef<bool()> wanted) const {
  std::error_code error;
  fs::path source = fs::weakly_canonical(fs::path(attempt_directory) / relative, error);
  HONE_RETURN_IF_ERROR(ToStatus(error, relative));
  HONE_ASSIGN_OR_RETURN(bool is_folder, IsDirectory(source.string()));
  if (!is_folder) {
    source = source.parent_path();
    HONE_ASSIGN_OR_RETURN(is_folder, IsDirectory(source.string()));
  }
  const std::string inside = source.lexically_relative(attempt_directory).string();
  if (inside.empty() || inside == "." || inside.rfind("..", 0) == 0 || !is_folder) {
    return absl::InvalidArgumentError(
        absl::StrCat("the model \"", relative, "\" is not a folder of the run"));
  }
  HONE_ASSIGN_OR_RETURN(std::vector<v1::ModelFile> files, ListFiles(source.string(), wanted));
  // Left by an attempt that published and died before that was stored.
  const std::string target = ModelDirectory(model_id);
  Remove(target);
  HONE_RETURN_IF_ERROR(Rename(source.string(), target));
  return files;
}

absl::StatusOr<std::string> DataDirectory::MakeTemporary() const {
  const std::string path = absl::StrCat(root_, "/tmp/", jobs::NewId());
  HONE_RETURN_IF_ERROR(MakeDirectory(path));
  return path;
}

void DataDirectory::Remove(const std::string& directory) {
  std::error_code ignored;
  fs::remove_all(directory, ignored);
}

std::map<std::string, int64_t> DataDirectory::BytesByPart() const {
  std::map<std::string, int64_t> bytes;
  for (const char* const part : kParts) {
    bytes[part] = BytesUnder(absl::StrCat(root_, "/", part));
  }
  for (const char* const suffix : {"", "-wal", "-shm"}) {
    std::error_code missing;
    const uintmax_t size = fs::file_size(store_path() + suffix, missing);
    bytes["store"] += missing ? 0 : static_cast<int64_t>(size);
  }
  return bytes;
}

int64_t DataDirectory::FreeBytes() const {
  std::error_code error;
  const fs::space_info space = fs::space(root_, error);
  return error ? 0 : static_cast<int64_t>(space.available);
}

}  // namespace hone::server::artifacts
