#pragma once

#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/base/owned_fd.h"

namespace hone {

// An exclusive lock between processes, on a file made for it. It is released with this object, or
// by the kernel when the process ends, however it ends. The file stays.
class FileLock {
 public:
  // While somebody else has the lock, `wait` is called about twenty times a second; false gives up:
  // UNAVAILABLE. Errors of opening the file as base/files.h has them.
  static absl::StatusOr<FileLock> Take(const std::string& path, absl::FunctionRef<bool()> wait);

 private:
  explicit FileLock(OwnedFd file) : file_(std::move(file)) {}
  OwnedFd file_;
};

}  // namespace hone
