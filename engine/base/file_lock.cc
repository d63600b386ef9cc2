#include "engine/base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"

namespace hone {

absl::StatusOr<FileLock> FileLock::Take(const std::string& path, absl::FunctionRef<bool()> wait) {
  constexpr auto kPause = std::chrono::milliseconds(50);
  FileLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (lock.fd_ < 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  }
  while (::flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return ErrnoStatus(errno, absl::StrCat("cannot lock ", path));
    }
    if (!wait()) {
      return absl::UnavailableError(absl::StrCat(path, " is locked by another process"));
    }
    std::this_thread::sleep_for(kPause);
  }
  return lock;
}

FileLock::FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FileLock::~FileLock() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

}  // namespace hone
