#include "engine/tasks/artifacts.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"

namespace hone::engine::tasks {
namespace {

// What WriteFileAtomically had not yet given its name when this run's process was killed.
void RemoveHalfWritten(const std::filesystem::path& place) {
  const std::string prefix = absl::StrCat(place.filename().string(), ".tmp.");
  std::error_code error;
  std::filesystem::directory_iterator entry(place.parent_path(), error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (entry->path().filename().string().starts_with(prefix)) {
      std::error_code ignored;
      std::filesystem::remove(entry->path(), ignored);
    }
  }
}

}  // namespace

absl::Status ArtifactSink::Write(const std::string& kind, const std::string& path,
                                 absl::string_view bytes) const {
  namespace fs = std::filesystem;
  const fs::path within(path);
  if (kind == "model" || !within.has_filename() || within.is_absolute() ||
      std::ranges::find(within, "..") != within.end()) {
    return absl::InternalError(
        absl::StrCat("an artifact of kind \"", kind, "\" cannot be left at \"", path, "\""));
  }
  if (observer_ == nullptr) {
    return absl::OkStatus();
  }
  const std::string relative = absl::StrCat("artifacts/", path);
  const fs::path place = fs::path(run_directory_) / relative;
  std::error_code error;
  fs::create_directories(place.parent_path(), error);
  if (error) {
    return ErrnoStatus(error.value(), absl::StrCat("cannot make ", place.parent_path().string()));
  }
  RemoveHalfWritten(place);
  HONE_RETURN_IF_ERROR(WriteFileAtomically(place.string(), bytes));
  observer_->OnArtifact({.kind = kind,
                         .path = relative,
                         .bytes = static_cast<int64_t>(bytes.size()),
                         .sha256 = Sha256(bytes)});
  return absl::OkStatus();
}

}  // namespace hone::engine::tasks
