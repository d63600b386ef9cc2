#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hone/v1/dataset_service.pb.h"
#include "server/artifacts/data_directory.h"
#include "server/datasets/blobs.h"
#include "server/scheduler/executor.h"
#include "server/store/dataset_store.h"
#include "server/store/writer.h"

namespace hone::server::datasets {

struct Limits {
  int64_t quota_bytes = 0;       // of all data sets and uploads
  int64_t disk_floor_bytes = 0;  // free disk that uploads leave alone
};

// "datasets/" + id and back. INVALID_ARGUMENT, with the shape a name must have.
std::string DatasetName(absl::string_view id);
absl::StatusOr<std::string> DatasetId(absl::string_view name);

v1::Dataset ToProto(const store::Dataset& dataset);

class Datasets;

// One stream's hold on an upload. For one thread at a time.
class Session {
 public:
  // ABORTED: a newer stream has taken the upload; INVALID_ARGUMENT: more than was declared, or
  // beyond the limit of a chunk; RESOURCE_EXHAUSTED: no space.
  absl::Status Append(absl::string_view chunk);
  // After the last chunk: verifies, publishes, stores; reads all the bytes, which may take minutes:
  // call it on `verifications`. INVALID_ARGUMENT: the bytes are not what was declared; where some
  // are missing, those that came are kept. UNAVAILABLE: the server is shutting down.
  absl::StatusOr<store::Dataset> Finish();

  // Goes on at `offset`: what came after it is sent again. FAILED_PRECONDITION: not so much has
  // arrived.
  absl::Status StartAt(int64_t offset);

  static constexpr int64_t kMaxChunk = 1 << 20;

 private:
  friend class Datasets;
  Session(Datasets& owner, store::Upload upload, int64_t offset)
      : owner_(owner), upload_(std::move(upload)), offset_(offset) {}

  Datasets& owner_;
  const store::Upload upload_;
  // The upload is not abandoned yet.
  absl::Status Touch();

  // The upload's lock; a session whose number is not the newest has lost it.
  struct Turn {
    std::mutex mutex;
    std::atomic<int64_t> newest = 0;  // changed with mutex held
  };
  std::shared_ptr<Turn> turn_;
  int64_t number_ = 0;
  int64_t offset_;
  int64_t checked_ = 0;  // where free disk was last looked at
  std::optional<store::Dataset> whole_;
  int64_t known_ = 0;  // bytes that came although they are in the store
};

// Uploads, and the files of data sets. Its functions write files and wait for the store: call them
// on `executor`, never in a handler. Any thread; the arguments of the constructor outlive this.
class Datasets {
 public:
  Datasets(const Limits& limits, const artifacts::DataDirectory& directory,
           const store::DatasetStore& store, store::Writer& writer);

  // INVALID_ARGUMENT names the field; else as BeginUpload and UploadDataset in
  // dataset_service.proto. Both take the upload away from an older stream.
  absl::StatusOr<v1::BeginUploadResponse> Begin(const v1::UploadHeader& header,
                                                const std::string& project);
  absl::StatusOr<std::unique_ptr<Session>> Open(const v1::UploadHeader& header,
                                                const std::string& project);
  absl::Status Delete(const std::string& project, const std::string& id, bool force);
  // Removes what nothing needs any more: abandoned uploads, data sets whose last job has ended.
  void Sweep();

  // The file that the job reads; "" where it names a data set of the catalogue.
  // FAILED_PRECONDITION: the file is gone; UNAVAILABLE: the disk does not say.
  absl::StatusOr<std::string> PathOfJob(const std::string& job_id) const;
  // The same for a job that is not stored yet, by its data.dataset.
  absl::StatusOr<std::string> PathOf(const std::string& project, const std::string& id) const;
  // Where these bytes lie, if they are there.
  std::string PathOf(const store::DatasetBytes& bytes) const { return blobs_.Path(bytes); }

  // Uploads that are being verified end with UNAVAILABLE.
  void Stop() { stopping_ = true; }

  scheduler::Executor& executor() { return executor_; }
  scheduler::Executor& verifications() { return verifications_; }

 private:
  friend class Session;

  absl::Status CheckSpace(int64_t more) const;
  absl::Status Drop(const std::string& upload);

  const Limits limits_;
  const artifacts::DataDirectory& directory_;
  const store::DatasetStore& store_;
  store::Writer& writer_;
  const Blobs blobs_;
  // Held while a file or a row is made whose other half is to come, and by Sweep, which would
  // remove the file.
  std::mutex publishing_;
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<Session::Turn>> turns_;  // by upload; guarded by mutex_
  std::atomic<bool> stopping_ = false;
  scheduler::Executor executor_;
  scheduler::Executor verifications_;
};

}  // namespace hone::server::datasets
