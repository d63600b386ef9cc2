#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/client.h"

namespace hone::client::cli {

// What a file is by its name (.csv, .tsv, .data, .tar, each also with .gz; .tgz). INVALID_ARGUMENT:
// none of them, or a folder.
absl::StatusOr<v1::Dataset::Format> FormatOf(const std::string& path);

struct PutOptions {
  std::string dataset_id;
  std::string path;
  v1::Dataset::Format format = v1::Dataset::FORMAT_UNSPECIFIED;
  absl::Duration patience = absl::Minutes(1);
  std::string sha256 = "";  // of the file; "": PutFile looks
  // Instead of the file at `path`: fills the chunk with the bytes from `offset` on, of `bytes`, and
  // shortens it at their end. Then the SHA-256 must be given.
  std::function<absl::Status(int64_t offset, std::string& chunk)> read = nullptr;
  int64_t bytes = 0;
};

// Sends a file, a chunk at a time. After a cut it asks how far the server got and goes on from
// there; it gives up when for `patience`, the time of open streams aside, nothing has arrived.
// `progress` is told the bytes that are there and all of them, and the number of cuts so far.
absl::StatusOr<v1::Dataset> PutFile(
    Client& client, const PutOptions& options,
    const std::function<void(int64_t sent, int64_t bytes, int cuts)>& progress);

// PutFile with a line on stderr that tells how far it is, where that is a terminal and `shown`.
// Sets `cuts` to their number.
absl::StatusOr<v1::Dataset> PutFileShown(Client& client, const PutOptions& options, bool shown,
                                         int& cuts);

// The name of a data set of the server with the bytes of this file, which is sent where there is
// none. Errors as of FormatOf and PutFile.
absl::StatusOr<std::string> FindOrPut(Client& client, const std::string& path, bool shown);

}  // namespace hone::client::cli
