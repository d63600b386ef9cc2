// Preloaded into honed or hone-worker by kill_and_count.py: something fails at the n-th call of a
// kind. HONE_FAULT=ACTION@EVENT:N[+M], such as kill@sync:7 or full@write:30+5:
//   EVENT  sync    fsync, fdatasync (a transaction, or a file of a checkpoint made durable)
//          write   bytes into a file
//          frame   a read from or a write to a pipe (frames between server and worker)
//          rename
// HONE_CLOCK=FILE: the system's clock (CLOCK_REALTIME) is ahead by the seconds that the file holds,
// an int64 that may change at any time; the monotonic one is left alone.
//   ACTION kill    SIGKILL to this process, before the call
//          full    the call, and M more of its kind, fail with ENOSPC
//          broken  the same with EIO
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

struct Fault {
  char action[16] = "";
  char event[16] = "";
  long at = 0, more = 0;

  Fault() {
    const char* const text = std::getenv("HONE_FAULT");
    if (text != nullptr) {
      std::sscanf(text, "%15[a-z]@%15[a-z]:%ld+%ld", action, event, &at, &more);
    }
  }
};

// False: the call is to fail with errno.
bool Count(const char* event) {
  static const Fault fault;
  static std::atomic<long> calls = 0;
  if (fault.at == 0 || std::strcmp(event, fault.event) != 0) {
    return true;
  }
  const long call = ++calls;
  if (call < fault.at || call > fault.at + fault.more) {
    return true;
  }
  if (std::strcmp(fault.action, "kill") == 0) {
    kill(getpid(), SIGKILL);
  }
  errno = std::strcmp(fault.action, "full") == 0 ? ENOSPC : EIO;
  return false;
}

// "write" for files, "frame" for pipes, null for what is not counted.
const char* KindOf(int fd) {
  struct stat info = {};
  if (fd < 3 || fstat(fd, &info) != 0) {
    return nullptr;
  }
  return S_ISREG(info.st_mode) ? "write" : S_ISFIFO(info.st_mode) ? "frame" : nullptr;
}

int64_t ClockOffset() {
  static const volatile int64_t* const offset = []() -> const int64_t* {
    static const int64_t kNone = 0;
    const char* const path = std::getenv("HONE_CLOCK");
    const int fd = path != nullptr ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void* const map =
        fd >= 0 ? mmap(nullptr, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    return map != MAP_FAILED ? static_cast<const int64_t*>(map) : &kNone;
  }();
  return *offset;
}

template <typename Function>
Function Next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int fsync(int fd) {
  static const auto next = Next<int (*)(int)>("fsync");
  return Count("sync") ? next(fd) : -1;
}

int fdatasync(int fd) {
  static const auto next = Next<int (*)(int)>("fdatasync");
  return Count("sync") ? next(fd) : -1;
}

ssize_t write(int fd, const void* data, size_t size) {
  static const auto next = Next<ssize_t (*)(int, const void*, size_t)>("write");
  const char* const kind = KindOf(fd);
  return kind == nullptr || Count(kind) ? next(fd, data, size) : -1;
}

ssize_t read(int fd, void* data, size_t size) {
  static const auto next = Next<ssize_t (*)(int, void*, size_t)>("read");
  const char* const kind = KindOf(fd);
  return kind == nullptr || std::strcmp(kind, "frame") != 0 || Count(kind) ? next(fd, data, size)
                                                                           : -1;
}

ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  static const auto next = Next<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64");
  return Count("write") ? next(fd, data, size, offset) : -1;
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  static const auto next = Next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return Count("write") ? next(fd, data, size, offset) : -1;
}

int clock_gettime(clockid_t which, timespec* time) noexcept {
  static const auto next = Next<int (*)(clockid_t, timespec*)>("clock_gettime");
  const int result = next(which, time);
  if (result == 0 && which == CLOCK_REALTIME) {
    time->tv_sec += ClockOffset();
  }
  return result;
}

int rename(const char* from, const char* to) noexcept {
  static const auto next = Next<int (*)(const char*, const char*)>("rename");
  return Count("rename") ? next(from, to) : -1;
}

}  // extern "C"
