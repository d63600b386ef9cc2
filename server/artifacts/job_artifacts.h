#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "hone/v1/training_service.pb.h"

namespace hone::server::artifacts {

// What jobs leave beside their model: the files below runs/<job>/attempt-N/artifacts. A worker
// makes them, so neither their names nor links among them are trusted: every step of a path is
// entered by itself and no link is followed. `folder` is DataDirectory::ArtifactsDirectory.

// Sorted by path, those behind `after` ("": all), at most `limit`. No folder: none. At most 10,000
// files are looked at.
absl::StatusOr<std::vector<v1::JobArtifact>> ListArtifacts(const std::string& folder,
                                                           const std::string& after, int limit);

// A file descriptor to read from, the caller's to close, and the file's size in `artifact`.
// NOT_FOUND: there is no such file, or the path leads elsewhere, or through a link, or to something
// that is no plain file.
absl::StatusOr<int> OpenArtifact(const std::string& folder, const std::string& path,
                                 v1::JobArtifact& artifact);

}  // namespace hone::server::artifacts
