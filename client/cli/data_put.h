#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "client/client.h"

namespace hone::client::cli {

// What a file is by its name (.csv, .tsv, .data, .tar, each also with .gz; .tgz). INVALID_ARGUMENT:
// none of them, or a folder.
absl::StatusOr<v1::DatasetFormat> FormatOf(const std::string& path);

// Sends a file, a chunk at a time. After a cut it asks how far the server got and goes on from
// there; it gives up when nothing has arrived for a minute. `progress` is told the bytes that are
// there and all of them, and the number of cuts so far.
absl::StatusOr<v1::Dataset> PutFile(
    Client& client, const std::string& dataset_id, const std::string& path,
    v1::DatasetFormat format,
    const std::function<void(int64_t sent, int64_t bytes, int cuts)>& progress);

}  // namespace hone::client::cli
