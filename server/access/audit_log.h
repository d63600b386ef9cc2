#pragma once

#include <mutex>

#include "absl/time/time.h"
#include "server/store/audit_store.h"
#include "server/store/writer.h"

namespace hone::server::access {

// Entries of the audit log that no write brings along: of calls that were refused, that failed, or
// that changed nothing. A few a minute are kept of each kind, so that nobody fills the disk with
// them; the metric hone_callers_refused_total counts all. Any thread; the writer outlives this.
class AuditLog {
 public:
  // Of those whose caller is not known or has not the role, and of others, who are known.
  static constexpr double kRefusedAMinute = 60;
  static constexpr double kOthersAMinute = 600;

  explicit AuditLog(store::Writer& writer) : writer_(writer) {}

  // Does not wait.
  void Record(store::AuditEntry entry, bool refused);

 private:
  // What may still be kept now; it fills up again as time passes.
  class Allowance {
   public:
    explicit Allowance(double a_minute) : a_minute_(a_minute), left_(a_minute) {}
    bool Take(absl::Duration now);

   private:
    const double a_minute_;
    double left_;
    absl::Duration at_;  // SteadyNow()
  };

  store::Writer& writer_;
  std::mutex mutex_;
  Allowance refused_{kRefusedAMinute};  // guarded by mutex_
  Allowance others_{kOthersAMinute};    // guarded by mutex_
};

}  // namespace hone::server::access
