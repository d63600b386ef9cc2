#include "server/artifacts/job_artifacts.h"

#include <fcntl.h>
#include <google/protobuf/util/time_util.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "server/jobs/reason.h"

namespace hone::server::artifacts {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFiles = 10'000;

absl::Status NoArtifact(const std::string& path) {
  return jobs::WithReason(
      absl::NotFoundError(absl::StrCat("path: there is no artifact \"", CutUtf8(path, 200), "\"")),
      jobs::reason::kArtifactNotFound);
}

void Describe(const std::string& path, const struct stat& file, v1::JobArtifact& artifact) {
  artifact.set_path(path);
  artifact.set_bytes(file.st_size);
  *artifact.mutable_update_time() = google::protobuf::util::TimeUtil::NanosecondsToTimestamp(
      int64_t{file.st_mtim.tv_sec} * 1'000'000'000 + file.st_mtim.tv_nsec);
}

// As engine/base/files.h calls a file until it is whole: NAME.tmp.PID.
bool IsHalfWritten(const std::string& path) {
  const size_t mark = path.rfind(".tmp.");
  return mark != path.npos && path.find_first_not_of("0123456789", mark + 5) == path.npos;
}

// One step down from `folder`, which it closes.
int Enter(int folder, const std::string& name, int flags) {
  const int fd = ::openat(folder, name.c_str(), flags | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  const int error = errno;
  ::close(folder);
  errno = error;
  return fd;
}

}  // namespace

absl::StatusOr<std::vector<v1::JobArtifact>> ListArtifacts(const std::string& folder,
                                                           const std::string& after, int limit) {
  std::vector<v1::JobArtifact> artifacts;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error);
  if (error == std::errc::no_such_file_or_directory) {
    return artifacts;
  }
  size_t seen = 0;
  for (const fs::recursive_directory_iterator end; !error && it != end && seen < kMaxFiles;
       it.increment(error)) {
    struct stat file = {};
    if (::lstat(it->path().c_str(), &file) != 0 || !S_ISREG(file.st_mode)) {
      continue;  // a link, or it went meanwhile
    }
    ++seen;
    const std::string path = it->path().lexically_relative(folder).string();
    if (path > after && !IsHalfWritten(path) && Utf8Prefix(path) == path.size()) {
      Describe(path, file, artifacts.emplace_back());
    }
  }
  if (error == std::errc::no_such_file_or_directory) {  // what is behind it was not seen
    return absl::UnavailableError(
        "a folder of the artifacts went while they were listed; try again");
  }
  if (error) {
    return ErrnoStatus(error.value(), "the artifacts cannot be listed");
  }
  std::ranges::sort(artifacts, {}, &v1::JobArtifact::path);
  if (artifacts.size() > static_cast<size_t>(limit)) {
    artifacts.resize(static_cast<size_t>(limit));
  }
  return artifacts;
}

absl::StatusOr<int> OpenArtifact(const std::string& folder, const std::string& path,
                                 v1::JobArtifact& artifact) {
  const std::vector<std::string> steps = absl::StrSplit(path, '/');
  for (const std::string& step : steps) {
    if (step.empty() || step == "." || step == ".." || step.find('\0') != step.npos) {
      return NoArtifact(path);
    }
  }
  int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  for (size_t i = 0; fd >= 0 && i < steps.size(); ++i) {
    // A pipe would be waited for.
    fd = Enter(fd, steps[i], i + 1 < steps.size() ? O_DIRECTORY : O_NONBLOCK);
  }
  if (fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP && errno != ENAMETOOLONG) {
    return ErrnoStatus(errno, absl::StrCat("artifact ", CutUtf8(path, 200)));
  }
  struct stat file = {};
  if (fd < 0 || ::fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) {
    if (fd >= 0) {
      ::close(fd);
    }
    return NoArtifact(path);
  }
  Describe(path, file, artifact);
  return fd;
}

}  // namespace hone::server::artifacts
