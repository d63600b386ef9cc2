#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/store/dataset_store.h"

namespace hone::server::datasets {

// The files of data sets in the data directory:
//   datasets/<sha256>.csv  whole ones, named by what is in them (.csv, .tar or .jsonl, also with .gz)
//   uploads/<id>.part      what has arrived of those that are not whole yet
// Errors are those of engine/base/files.h. Any thread, but one at a time for each upload.
class Blobs {
 public:
  // Both folders exist.
  Blobs(std::string datasets, std::string uploads)
      : datasets_(std::move(datasets)), uploads_(std::move(uploads)) {}

  std::string Path(const store::DatasetBytes& bytes) const;
  // Its file is there.
  absl::StatusOr<bool> Has(const store::DatasetBytes& bytes) const;

  // 0 where nothing has arrived.
  absl::StatusOr<int64_t> PartBytes(const std::string& upload) const;
  // Throws away what comes after `bytes`.
  absl::Status TruncatePart(const std::string& upload, int64_t bytes) const;
  absl::Status WritePart(const std::string& upload, int64_t offset, absl::string_view chunk) const;
  void RemovePart(const std::string& upload) const;

  // Makes the part durable. INVALID_ARGUMENT: its bytes are not those declared; CANCELLED: `wanted`
  // said no while they were read.
  absl::Status Verify(const std::string& upload, const store::DatasetBytes& declared,
                      absl::FunctionRef<bool()> wanted) const;
  // Gives it its place, durably.
  absl::Status Publish(const std::string& upload, const store::DatasetBytes& declared) const;

  // The paths of all files but these.
  absl::StatusOr<std::vector<std::string>> Others(const std::vector<store::DatasetBytes>& bytes,
                                                  const std::vector<std::string>& uploads) const;

 private:
  std::string PartPath(const std::string& upload) const;

  const std::string datasets_;
  const std::string uploads_;
};

}  // namespace hone::server::datasets
