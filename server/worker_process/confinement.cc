#include "server/worker_process/confinement.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace hone::server::worker_process {
namespace {

// Of linux/landlock.h, which older systems do not have.
constexpr unsigned kCreateRulesetVersion = 1;

}  // namespace

int LandlockAbi() {
#if defined(SYS_landlock_create_ruleset)
  return static_cast<int>(
      std::max(::syscall(SYS_landlock_create_ruleset, nullptr, 0, kCreateRulesetVersion), 0L));
#else
  return 0;
#endif
}

bool HasSeccomp() {
#if defined(__x86_64__) || defined(__aarch64__)
  return ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
#else
  return false;
#endif
}

bool MayDownload(const v1::WorkerRequest& request) {
  const bool reads_examples =
      request.mode() == v1::WorkerRequest::TRAIN || request.mode() == v1::WorkerRequest::PLAN;
  return reads_examples && request.dataset_path().empty();
}

}  // namespace hone::server::worker_process
