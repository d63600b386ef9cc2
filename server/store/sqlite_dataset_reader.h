#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/store/dataset_store.h"
#include "server/store/sqlite.h"

namespace hone::server::store {

// The columns that ReadDataset reads, for a SELECT over `dataset`.
inline constexpr char kDatasetColumns[] =
    "dataset.row, coalesce(name, ''), format, bytes, sha256, dataset.create_time, dataset.project";

// Of three columns from that one on.
DatasetBytes ReadDatasetBytes(const Statement& statement, int first);
Dataset ReadDataset(const Statement& statement);
// One row or none.
absl::StatusOr<std::optional<Dataset>> ReadOneDataset(Statement& statement);
absl::Status DatasetNotFound(const std::string& name);

// The reading half of the data sets' store, as SqliteReader. For one thread at a time.
class SqliteDatasetReader {
 public:
  static absl::StatusOr<std::unique_ptr<SqliteDatasetReader>> Open(const std::string& path);

  absl::StatusOr<Dataset> Get(const std::string& project, const std::string& name);
  absl::StatusOr<Page<Dataset>> List(const ListDatasets& what);
  absl::StatusOr<std::optional<Dataset>> OfJob(const std::string& job_id);
  absl::StatusOr<std::vector<DatasetBytes>> AllBytes();
  absl::StatusOr<std::vector<std::string>> AllUploads();
  absl::StatusOr<std::optional<v1::DatasetValidation>> FindValidation(const Dataset& dataset);

 private:
  SqliteDatasetReader() = default;
  absl::Status Prepare();

  TimedConnection connection_;
  Statement get_, list_, of_job_, all_bytes_, all_uploads_, find_validation_;
};

}  // namespace hone::server::store
