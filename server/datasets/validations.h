#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "hone/v1/dataset_service.pb.h"
#include "server/scheduler/worker_calls.h"
#include "server/store/dataset_store.h"
#include "server/store/writer.h"

namespace hone::server::datasets {

// Whole data sets being read, and what was found, for clients that start this and come back for the
// report. Reports are kept in the store; what is being read when the server ends is forgotten.
// Any thread.
class Validations {
 public:
  // Rows of a table that every report has; a client gets as many as it asks for.
  static constexpr int kRows = 100;

  // This outlives `writer`, which tells it what was stored; no function is called after `store`.
  Validations(const store::DatasetStore& store, store::Writer& writer)
      : store_(store), writer_(writer) {}

  // Starts reading the file at `path`, unless that goes on already or has given a report; how it
  // stands. One that failed is tried again. `calls` ends before this does. Errors are those with
  // which `calls` refuses at once, and those of the store.
  absl::StatusOr<v1::DatasetValidation> Start(const store::Dataset& dataset,
                                              const std::string& path, int rows,
                                              scheduler::WorkerCalls& calls);

  // NOT_FOUND: nobody has started it, or it was long ago, or the server ended meanwhile.
  absl::StatusOr<v1::DatasetValidation> Get(const store::Dataset& dataset, int rows);

 private:
  // Being read, or not stored yet.
  struct Entry {
    store::Dataset dataset;
    v1::DatasetValidation validation;
    bool starting = true;  // `calls` may still refuse it
    absl::Status refused;  // by `calls`, before it began
  };
  using Entries = std::list<std::shared_ptr<Entry>>;  // the newest is first

  // With mutex_ held.
  std::shared_ptr<Entry> Find(const store::Dataset& dataset) const;
  void MakeRoom();
  // Nothing: neither being read nor known.
  absl::StatusOr<std::optional<v1::DatasetValidation>> FindKnown(const store::Dataset& dataset);
  void Finish(const std::shared_ptr<Entry>& entry, absl::StatusOr<v1::DatasetReport> report);

  const store::DatasetStore& store_;
  store::Writer& writer_;
  std::mutex mutex_;
  Entries entries_;  // guarded by mutex_
};

}  // namespace hone::server::datasets
