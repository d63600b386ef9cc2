#include "server/access/audit_log.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"

namespace hone::server::access {

bool AuditLog::Allowance::Take(absl::Duration now) {
  left_ = std::min(a_minute_, left_ + absl::FDivDuration(now - at_, absl::Minutes(1)) * a_minute_);
  at_ = now;
  if (left_ < 1) {
    return false;
  }
  left_ -= 1;
  return true;
}

void AuditLog::Record(store::AuditEntry entry, bool refused) {
  {
    const std::lock_guard lock(mutex_);
    if (!(refused ? refused_ : others_).Take(SteadyNow())) {
      return;
    }
  }
  entry.time = absl::Now();
  const store::WorkingFor nobody(nullptr);  // else the write would bring an entry of its own
  writer_.Submit<bool>(
      [entry = std::move(entry)](store::JobStore& store) -> absl::StatusOr<bool> {
        HONE_RETURN_IF_ERROR(store.audit().Insert(entry));
        return true;
      },
      [](const absl::StatusOr<bool>&) {});
}

}  // namespace hone::server::access
