#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/base/owned_fd.h"

namespace hone::engine::data {

// How data that may be larger than memory are read and kept.
struct StreamOptions {
  // Where files may be made, such as a run's folder. "": nowhere, and all stays in memory.
  std::string folder = {};
  // What comes to more than this goes to a file, its begin too. The rule knows nothing of the
  // machine: the same data take the same way everywhere.
  int64_t memory_bytes = int64_t{32} << 20;
  // What is read, cleaned or made tokens at a time. No result depends on it.
  int64_t piece_bytes = int64_t{1} << 20;
};

// Bytes that are written one behind the other and read when all are there. What is too large for
// memory lies in a file that is mapped: its pages are the system's to drop and to read again, and
// no limit of the process's data (RLIMIT_DATA) counts them. The file has no name from the moment
// that it is open, so nothing is left of it when the process ends, however it ends; who goes on
// with a run makes it again. Not thread-safe until Finish, then immutable.
class Spool {
 public:
  // `what` it holds, for errors: "the cleaned texts".
  Spool(StreamOptions options, std::string what);
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;
  ~Spool();

  // RESOURCE_EXHAUSTED: the disk, or what a user may have of it, is full; else errors of
  // base/files.h. All name the folder. After one the spool is of no use.
  absl::Status Append(absl::string_view bytes);
  // Before bytes() is called; nothing is appended any more.
  absl::Status Finish();

  int64_t size() const { return size_; }
  absl::string_view bytes() const { return bytes_; }
  // Of these, what is in memory and not in a file.
  int64_t memory_bytes() const { return file_bytes_ > 0 ? 0 : size_; }

 private:
  absl::Status Open();
  absl::Status Flush();
  std::string Where() const;

  StreamOptions options_;
  std::string what_;
  std::vector<char> memory_;  // what the file does not have yet
  OwnedFd file_;
  int64_t file_bytes_ = 0;
  int64_t size_ = 0;
  void* mapped_ = nullptr;
  absl::string_view bytes_;
};

}  // namespace hone::engine::data
