#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "hone/v1/dataset.pb.h"
#include "hone/v1/dataset_service.pb.h"
#include "server/store/job_store.h"

namespace hone::server::store {

// Bytes and what they are said to be: two data sets with equal ones share a file.
struct DatasetBytes {
  v1::Dataset::Format format = v1::Dataset::FORMAT_UNSPECIFIED;
  int64_t bytes = 0;
  std::string sha256 = "";
};

struct Dataset {
  std::string name;  // "" where it was deleted by force
  DatasetBytes bytes;
  absl::Time create_time = absl::InfinitePast();
  std::string project = jobs::kDefaultProject;
};

struct ListDatasets {
  std::string project = jobs::kDefaultProject;
  std::vector<v1::Dataset::Format> formats = {};  // empty: all
  std::string name_prefix = "";
  std::string sha256 = "";  // "": all
  int limit = 50;
  int64_t before_row = 0;  // rows behind this one; 0: from the newest
};

struct Upload {
  std::string id;  // made by the server
  std::string name;
  DatasetBytes bytes;
  std::string project = jobs::kDefaultProject;
};

// What BeginUpload found: a data set that is there, or an upload to go on with.
struct Begun {
  std::optional<Dataset> dataset;
  Upload upload;
};

// The truth about data sets: part of a JobStore, with the same threads, transactions and errors.
class DatasetStore {
 public:
  static constexpr int64_t kMostDatasets = 10'000;

  virtual ~DatasetStore() = default;

  // The upload of this project, with this name and these bytes, a new one with upload.id if there
  // is none. Where the project has these bytes already, a data set at once; not where only another
  // project has them, which nobody may learn, nor get them for their SHA-256 alone. ALREADY_EXISTS:
  // the name has other bytes; RESOURCE_EXHAUSTED: all data sets and uploads together would be more
  // than `quota` bytes, or more than kMostDatasets, or those of the project more than its share.
  virtual absl::StatusOr<Begun> BeginUpload(const Upload& upload, int64_t quota,
                                            absl::Time now) = 0;
  // The upload becomes a data set. NOT_FOUND: there is no such upload; ALREADY_EXISTS as above.
  virtual absl::StatusOr<Dataset> FinishUpload(const std::string& id, absl::Time now) = 0;
  virtual absl::Status DropUpload(const std::string& id) = 0;
  // Drops uploads that nobody has touched since then.
  virtual absl::Status DropUploadsBefore(absl::Time time) = 0;
  // FAILED_PRECONDITION: jobs that have not ended use it; with `force` it only loses its name.
  virtual absl::Status Delete(const std::string& project, const std::string& name, bool force) = 0;
  // NOT_FOUND; as Get, but inside the transaction.
  virtual absl::Status Check(const std::string& project, const std::string& name) = 0;
  // From now on the job reads this data set of its project, whatever becomes of its name.
  virtual absl::Status Use(const std::string& job_id, const std::string& name) = 0;
  // Forgets nameless data sets whose jobs have all ended.
  virtual absl::Status DropUnused() = 0;
  // Forgets data sets that were made before then and that no job needed since.
  virtual absl::Status DropUnusedSince(absl::Time time) = 0;
  // Keeps how the data set of that name, if it still has these bytes, was validated last; the
  // oldest of others goes where there is no room: kMostValidations, kMostValidationBytes.
  virtual absl::Status SaveValidation(const Dataset& dataset,
                                      const v1::DatasetValidation& validation) = 0;
  static constexpr int kMostValidations = 256;
  static constexpr int64_t kMostValidationBytes = int64_t{16} << 20;

  virtual absl::StatusOr<Dataset> Get(const std::string& project,
                                      const std::string& name) const = 0;
  virtual absl::StatusOr<Page<Dataset>> List(const ListDatasets& what) const = 0;
  // Nothing where the job uses none.
  virtual absl::StatusOr<std::optional<Dataset>> OfJob(const std::string& job_id) const = 0;
  // All bytes that must be kept, and the ids of uploads whose part must be kept.
  virtual absl::StatusOr<std::vector<DatasetBytes>> AllBytes() const = 0;
  virtual absl::StatusOr<std::vector<std::string>> AllUploads() const = 0;
  // Nothing where none is kept.
  virtual absl::StatusOr<std::optional<v1::DatasetValidation>> FindValidation(
      const Dataset& dataset) const = 0;
};

}  // namespace hone::server::store
