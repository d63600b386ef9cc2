#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hone/v1/model_service.pb.h"
#include "server/artifacts/data_directory.h"
#include "server/datasets/datasets.h"
#include "server/scheduler/worker_calls.h"
#include "server/store/job_store.h"
#include "server/store/writer.h"

namespace hone::server::imports {

// UNAVAILABLE with the reason IMPORT_UNDER_WAY: who asks is to ask again.
absl::Status UnderWay(absl::string_view dataset);

// Models made of checkpoints that were uploaded as data sets. An import has three steps, and only
// the last one makes a model of it: a worker unpacks the archive into a folder under tmp/ and reads
// it (the bytes have a second name there, so that deleting the data set does not disturb it); the
// folder moves to models/<id>, which the store lists as a draft, to be removed by the next server;
// the model is stored, and with that its folder is no draft any more. Any thread; the arguments of
// the constructor outlive this, and `calls` ends before.
class Imports {
 public:
  // `disk_floor_bytes`: free disk that imports leave alone.
  Imports(int64_t disk_floor_bytes, const artifacts::DataDirectory& directory,
          const store::JobStore& store, store::Writer& writer, const datasets::Datasets& datasets,
          scheduler::WorkerCalls& calls)
      : disk_floor_bytes_(disk_floor_bytes),
        directory_(directory),
        store_(store),
        writer_(writer),
        datasets_(datasets),
        calls_(calls) {}

  // Reads the store, a few pages of models at most; `done` is called once, at once or on a thread
  // of `calls`. Errors are those of ImportModel in model_service.proto.
  void Import(const v1::ImportModelRequest& request, const std::string& project,
              std::function<void(absl::StatusOr<v1::Model>)> done);

 private:
  // What is to be made.
  struct Wanted {
    store::Dataset dataset;
    std::string archive;  // path
    std::string display_name;

    // No project has a slash.
    std::string key() const { return dataset.project + "/" + dataset.bytes.sha256 + display_name; }
  };

  absl::StatusOr<Wanted> Check(const v1::ImportModelRequest& request,
                               const std::string& project) const;
  // The project's model of the same bytes and display name.
  absl::StatusOr<std::optional<v1::Model>> Find(const Wanted& wanted) const;
  // False: it is under way already.
  bool Begin(const Wanted& wanted);
  void End(const Wanted& wanted);
  absl::StatusOr<v1::Model> Publish(const Wanted& wanted, v1::WorkerFrame::Imported& imported,
                                    const std::string& folder,
                                    absl::FunctionRef<bool()> is_awaited) const;

  const int64_t disk_floor_bytes_;
  const artifacts::DataDirectory& directory_;
  const store::JobStore& store_;
  store::Writer& writer_;
  const datasets::Datasets& datasets_;
  scheduler::WorkerCalls& calls_;
  std::mutex mutex_;
  std::set<std::string> under_way_;  // keys; guarded by mutex_
};

}  // namespace hone::server::imports
