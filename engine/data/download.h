#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"

namespace hone::engine::data {

struct DownloadOptions {
  std::string sha256;     // that the whole file must have
  int64_t max_bytes = 0;  // more is refused
  std::string protocols = "https";
  std::function<void(int64_t done_bytes, int64_t total_bytes)> progress;  // may be empty
};

// Brings `url` to `path`. What has arrived stands in `path`.part until it is whole and its SHA-256
// is right; a later call goes on from there. UNAVAILABLE where the server cannot be reached or
// stops; DATA_LOSS for a wrong SHA-256 (the part is removed).
absl::Status Download(const std::string& url, const std::string& path,
                      const DownloadOptions& options);

}  // namespace hone::engine::data
