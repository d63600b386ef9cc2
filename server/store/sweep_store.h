#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "hone/v1/sweep.pb.h"
#include "server/store/job_store.h"

namespace hone::server::store {

struct NewSweep {
  v1::Sweep sweep;              // with its name and its trials; no project: the default one
  std::string request_id = "";  // "": not idempotent
  // What was sent with the request_id, to tell another request with the same one.
  v1::SweepSpec sent = {};
};

struct ListSweeps {
  std::string project = jobs::kDefaultProject;
  std::vector<v1::Sweep::State> states = {};  // empty: all
  int limit = 50;
  int64_t before_row = 0;  // rows behind this one; 0: from the newest
};

// The truth about sweeps: part of a JobStore, with the same threads, transactions and errors. A
// sweep is one row and one for each trial; whoever changes it reads it in the same transaction.
class SweepStore {
 public:
  virtual ~SweepStore() = default;

  // The stored sweep; for a request_id that is known in its project, the sweep that it made
  // (ALREADY_EXISTS if that was another request).
  virtual absl::StatusOr<v1::Sweep> Insert(const NewSweep& sweep) = 0;
  // Reads the sweep with its trials, has `change` alter its state, message, times, counts and
  // trials, and writes what is different. An error of `change` is returned, and nothing is written.
  virtual absl::StatusOr<v1::Sweep> Change(const std::string& id,
                                           absl::FunctionRef<absl::Status(v1::Sweep&)> change) = 0;
  // FAILED_PRECONDITION: it has not ended.
  virtual absl::Status Delete(const std::string& id) = 0;

  virtual absl::StatusOr<v1::Sweep> Get(const std::string& id) const = 0;
  // Whose it is.
  virtual absl::StatusOr<std::string> ProjectOf(const std::string& id) const = 0;
  virtual absl::StatusOr<std::optional<v1::Sweep>> FindRequest(const std::string& project,
                                                               const std::string& request_id,
                                                               const v1::SweepSpec& sent) const = 0;
  // Without trials and the template.
  virtual absl::StatusOr<Page<v1::Sweep>> List(const ListSweeps& what) const = 0;
  // Ids of those that have not ended, the oldest first.
  virtual absl::StatusOr<std::vector<std::string>> Unfinished() const = 0;
  // How many there are of each state.
  virtual absl::StatusOr<std::vector<std::pair<v1::Sweep::State, int64_t>>> Count() const = 0;
};

// NOT_FOUND with the reason: there is no sweep with this id.
absl::Status SweepNotFound(absl::string_view id);
// "sweeps/" + id and back. INVALID_ARGUMENT, with the shape that a name must have.
std::string SweepName(absl::string_view id);
absl::StatusOr<std::string> SweepId(absl::string_view name);

}  // namespace hone::server::store
