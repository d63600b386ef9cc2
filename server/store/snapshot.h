#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/store/dataset_store.h"
#include "server/store/sqlite.h"

namespace hone::server::store {

// The store as it was at one moment, while the server goes on writing: what it names, and a copy of
// it. The server's log file grows for as long as this lives. For one thread at a time.
class Snapshot {
 public:
  // Of the file of a store that is open. Errors of JobStore.
  static absl::StatusOr<std::unique_ptr<Snapshot>> Take(const std::string& path);

  // Call `one` with each; end with its error.
  absl::Status EachJob(absl::FunctionRef<absl::Status(const std::string& id)> one) const;
  absl::Status EachModel(absl::FunctionRef<absl::Status(const std::string& id)> one) const;
  absl::Status EachDataset(absl::FunctionRef<absl::Status(const DatasetBytes& bytes)> one) const;

  // Of the copy, about.
  absl::StatusOr<int64_t> Bytes() const;
  // Makes the new file `to`: the whole store in one file, not durable yet. `go_on` is asked again
  // and again; what is not OK is returned.
  absl::Status CopyTo(const std::string& to, absl::FunctionRef<absl::Status()> go_on) const;

 private:
  explicit Snapshot(Connection connection) : connection_(std::move(connection)) {}

  Connection connection_;  // in a transaction that reads
};

// Gives the store in the file a new generation, so that no resume token of before matches it; an
// older version's store is brought up to date. Nobody else may have it open.
absl::Status BeginGeneration(const std::string& path);

}  // namespace hone::server::store
