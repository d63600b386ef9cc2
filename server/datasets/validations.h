#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "hone/v1/dataset_service.pb.h"
#include "server/scheduler/worker_calls.h"
#include "server/store/dataset_store.h"

namespace hone::server::datasets {

// Whole data sets being read, and what was found, for clients that start this and come back for the
// report. It stays here when they go away, until the server ends or newer reports need the room.
// Any thread.
class Validations {
 public:
  // Rows of a table that every report has; a client gets as many as it asks for.
  static constexpr int kRows = 100;

  // Starts reading the file at `path`, unless that goes on already or has given a report; how it
  // stands. One that failed is tried again. `calls` ends before this does. Errors are those with
  // which `calls` refuses at once.
  absl::StatusOr<v1::DatasetValidation> Start(const store::Dataset& dataset,
                                              const std::string& path, int rows,
                                              scheduler::WorkerCalls& calls);

  // NOT_FOUND: nobody has started it, or it was long ago.
  absl::StatusOr<v1::DatasetValidation> Get(const store::Dataset& dataset, int rows);

 private:
  struct Entry {
    std::string key;
    v1::DatasetValidation validation;
    absl::Status refused;  // by `calls`, before it began
  };
  using Entries = std::list<std::shared_ptr<Entry>>;  // the newest is first

  static std::string KeyOf(const store::Dataset& dataset);
  // All below with mutex_ held.
  std::shared_ptr<Entry> Find(const std::string& key) const;
  void Finish(Entry& entry, absl::StatusOr<v1::DatasetReport> report);
  void MakeRoom();

  std::mutex mutex_;
  Entries entries_;
};

}  // namespace hone::server::datasets
