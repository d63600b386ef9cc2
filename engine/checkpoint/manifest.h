#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/safetensors.h"

// Folders that appear whole or not at all, and whose files are known by size and SHA-256.
namespace hone::engine::checkpoint {

// A folder being written at `temporary`; removed again unless it is published.
class FolderWriter {
 public:
  // Removes what an interrupted write left at `temporary` and makes it anew, with its parents.
  static absl::StatusOr<FolderWriter> Create(const std::string& temporary);
  FolderWriter(FolderWriter&& other) noexcept : temporary_(std::exchange(other.temporary_, "")) {}
  ~FolderWriter();

  absl::Status AddText(const std::string& name, absl::string_view text);
  absl::Status AddTensors(const std::string& name, std::span<const TensorToWrite> tensors,
                          const std::map<std::string, std::string>& metadata);
  // What was added under this name.
  const WrittenFile& file(const std::string& name) const { return files_.at(name); }
  // Writes the manifest, makes everything durable and renames the folder to `place`, which is in
  // the same parent. A folder that was there is exchanged for the new one and removed. Returns the
  // bytes of all files.
  absl::StatusOr<int64_t> Publish(const std::string& place) &&;

 private:
  explicit FolderWriter(std::string temporary) : temporary_(std::move(temporary)) {}

  std::string temporary_;
  std::map<std::string, WrittenFile> files_;
};

// The files that the manifest of a folder promises. NOT_FOUND if there is no such folder; DATA_LOSS
// if there is no manifest or it is damaged.
absl::StatusOr<std::map<std::string, WrittenFile>> ReadManifest(const std::string& directory);

// Every file is there with the size that was written; quick. DATA_LOSS names the one that is not.
absl::Status CheckSizes(const std::string& directory);

// The same, and the SHA-256; `needed` must be among them.
absl::Status CheckContents(const std::string& directory, std::span<const char* const> needed);
// The sizes of all, the SHA-256 of those named alone. DATA_LOSS, too, for one that is not there.
absl::Status CheckContentsOf(const std::string& directory, std::span<const char* const> names);

}  // namespace hone::engine::checkpoint
