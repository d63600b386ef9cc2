#include "engine/base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"

namespace hone {

absl::StatusOr<FileLock> FileLock::Take(const std::string& path, absl::FunctionRef<bool()> wait) {
  constexpr auto kPause = std::chrono::milliseconds(50);
  OwnedFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!file.valid()) {
    return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  }
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return ErrnoStatus(errno, absl::StrCat("cannot lock ", path));
    }
    if (!wait()) {
      return absl::UnavailableError(absl::StrCat(path, " is locked by another process"));
    }
    std::this_thread::sleep_for(kPause);
  }
  return FileLock(std::move(file));
}

}  // namespace hone
