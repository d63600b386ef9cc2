#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/jobs/job.h"
#include "server/store/audit_store.h"

namespace hone::server::store {

// A call that changes something, on whose behalf a thread works: the first write of it that
// succeeds puts its entry into the same transaction (store::Writer). Executor and Writer take it
// along to the threads that go on with the call.
struct AuditedCall {
  AuditEntry entry;                   // without time, code and, often, resource
  std::atomic<bool> written = false;  // its entry is stored, or is about to be

  // For the store's writer: where `written` was false.
  absl::Status Write(AuditStore& audit, const std::string& resource, absl::Time now) const {
    AuditEntry whole = entry;
    whole.time = now;
    whole.code = "OK";
    if (!resource.empty()) {
      whole.resource = resource;
    }
    return audit.Insert(whole);
  }
};

// Says for as long as it lives which call the thread works for; none: for the server itself.
class WorkingFor {
 public:
  explicit WorkingFor(std::shared_ptr<AuditedCall> call)
      : before_(std::exchange(now_, std::move(call))) {}
  ~WorkingFor() { now_ = std::move(before_); }
  WorkingFor(const WorkingFor&) = delete;
  WorkingFor& operator=(const WorkingFor&) = delete;

  static std::shared_ptr<AuditedCall> Now() { return now_; }

 private:
  static inline thread_local std::shared_ptr<AuditedCall> now_;
  std::shared_ptr<AuditedCall> before_;
};

// The name of what a write has made or changed; "": it does not say.
template <typename T>
std::string ResourceOf(const T& value) {
  if constexpr (std::is_same_v<T, jobs::Job>) {
    return jobs::JobName(value.id);
  } else if constexpr (requires { std::string(value.name()); }) {
    return value.name();
  } else {
    return "";
  }
}

}  // namespace hone::server::store
