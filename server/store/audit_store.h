#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/store/job_store.h"

namespace hone::server::store {

// A call and what became of it. Never a secret.
struct AuditEntry {
  int64_t row = 0;  // rises; given by the store
  absl::Time time = absl::UnixEpoch();
  std::string caller = "";
  std::string role = "";
  std::string project = "";
  std::string peer = "";
  std::string rpc = "";
  std::string resource = "";
  std::string request_id = "";
  std::string code = "";
};

struct ListAudit {
  absl::Time since = absl::InfinitePast();
  std::string caller = "";    // "": all
  std::string resource = "";  // "": all
  int limit = 50;
  int64_t before_row = 0;  // rows behind this one; 0: from the newest
};

// Who did what: part of a JobStore, with the same threads, transactions and errors.
class AuditStore {
 public:
  virtual ~AuditStore() = default;

  // Texts beyond 256 bytes are cut.
  virtual absl::Status Insert(const AuditEntry& entry) = 0;
  // Removes up to `limit` entries of before then, and beyond the newest `at_most` (0: no limit);
  // how many.
  virtual absl::StatusOr<int> Remove(absl::Time before, int64_t at_most, int limit) = 0;

  // Newest first.
  virtual absl::StatusOr<Page<AuditEntry>> List(const ListAudit& what) const = 0;
};

}  // namespace hone::server::store
