#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/safetensors.h"

namespace hone::engine::checkpoint {

// A new file written from front to end, its SHA-256 taken on the way. Errors as in
// engine/base/files.h.
class DurableFile {
 public:
  static absl::StatusOr<DurableFile> Create(const std::string& path);
  DurableFile(DurableFile&&) noexcept;
  ~DurableFile();

  absl::Status Append(std::span<const std::byte> bytes);
  absl::Status Append(absl::string_view text);
  // fsync and close.
  absl::StatusOr<WrittenFile> Finish();

 private:
  struct Open;
  explicit DurableFile(std::unique_ptr<Open> open);
  std::unique_ptr<Open> open_;
};

}  // namespace hone::engine::checkpoint
