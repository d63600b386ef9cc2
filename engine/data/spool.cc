#include "engine/data/spool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::engine::data {
namespace {

constexpr int64_t kWriteBytes = int64_t{1} << 20;  // at a time, once there is a file

}  // namespace

Spool::Spool(StreamOptions options, std::string what)
    : options_(std::move(options)), what_(std::move(what)) {}

Spool::~Spool() {
  if (mapped_ != nullptr) {
    ::munmap(mapped_, static_cast<size_t>(file_bytes_));
  }
}

std::string Spool::Where() const {
  return absl::StrCat("cannot write ", what_, ", ", size_, " bytes so far, into ", options_.folder);
}

absl::Status Spool::Open() {
  std::string path = absl::StrCat(options_.folder, "/.spool-XXXXXX");
  file_ = OwnedFd(::mkostemp(path.data(), O_CLOEXEC));
  if (!file_.valid()) {
    return ErrnoStatus(errno, Where());
  }
  return ::unlink(path.c_str()) == 0 ? absl::OkStatus() : ErrnoStatus(errno, Where());
}

absl::Status Spool::Flush() {
  if (!file_.valid()) {
    HONE_RETURN_IF_ERROR(Open());
  }
  HONE_RETURN_IF_ERROR(
      WriteAll(file_.get(), absl::string_view(memory_.data(), memory_.size()), Where()));
  file_bytes_ += static_cast<int64_t>(memory_.size());
  if (static_cast<int64_t>(memory_.capacity()) > 2 * kWriteBytes) {
    std::vector<char>().swap(memory_);  // an assignment would keep what it has
  }
  memory_.clear();
  return absl::OkStatus();
}

absl::Status Spool::Append(absl::string_view bytes) {
  // Written before it grows, so that what is in memory is never copied into twice as much.
  const int64_t most = file_.valid() ? kWriteBytes : options_.memory_bytes;
  if (!options_.folder.empty() && static_cast<int64_t>(memory_.size() + bytes.size()) > most) {
    HONE_RETURN_IF_ERROR(Flush());
  }
  memory_.insert(memory_.end(), bytes.begin(), bytes.end());
  size_ += static_cast<int64_t>(bytes.size());
  return absl::OkStatus();
}

absl::Status Spool::Finish() {
  if (!file_.valid()) {
    memory_.shrink_to_fit();
    bytes_ = absl::string_view(memory_.data(), memory_.size());
    return absl::OkStatus();
  }
  HONE_RETURN_IF_ERROR(Flush());
  std::vector<char>().swap(memory_);
  void* const mapped =
      ::mmap(nullptr, static_cast<size_t>(file_bytes_), PROT_READ, MAP_SHARED, file_.get(), 0);
  if (mapped == MAP_FAILED) {
    return ErrnoStatus(errno, absl::StrCat("cannot map ", what_, ", ", size_, " bytes"));
  }
  mapped_ = mapped;
  file_.Close();
  bytes_ = absl::string_view(static_cast<const char*>(mapped), static_cast<size_t>(file_bytes_));
  return absl::OkStatus();
}

}  // namespace hone::engine::data
