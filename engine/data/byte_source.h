#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hone::engine::data {

// Reads a file from its beginning, plain or gzip (known by its first bytes). Not thread-safe.
// Errors name the path.
class ByteSource {
 public:
  static absl::StatusOr<ByteSource> Open(const std::string& path);
  ByteSource(ByteSource&& other) noexcept;
  ByteSource& operator=(ByteSource&&) = delete;
  ~ByteSource();

  // Up to `size` bytes into `out`; fewer only at the end of the file.
  absl::StatusOr<int64_t> Read(void* out, int64_t size);
  // Bytes read so far, after decompression.
  int64_t offset() const { return offset_; }
  bool compressed() const { return compressed_; }
  // No file of this length holds more: its own length when plain, 1032 times that for gzip (the
  // limit of deflate).
  int64_t most_bytes() const;
  const std::string& path() const { return path_; }

 private:
  ByteSource() = default;

  std::string path_;
  void* file_ = nullptr;  // gzFile
  bool compressed_ = false;
  int64_t file_bytes_ = 0;
  int64_t offset_ = 0;
};

// A whole file, decompressed; INVALID_ARGUMENT if it comes to more than max_bytes.
absl::StatusOr<std::string> ReadText(const std::string& path, int64_t max_bytes);

// A file's name without the ".gz" at its end.
absl::string_view WithoutGz(absl::string_view name);

}  // namespace hone::engine::data
