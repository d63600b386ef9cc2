#include "server/worker_process/orphans.h"

#include <sys/wait.h>

#include <cerrno>

#include "absl/time/clock.h"
#include "engine/base/steady_clock.h"

namespace hone::server::worker_process {
namespace {

// Reaps those of a group that have ended; whether others live. While one does, the group's number
// is nobody else's.
bool ReapEnded(pid_t group) {
  pid_t reaped;
  do {
    reaped = waitpid(-group, nullptr, WNOHANG);
  } while (reaped > 0 || (reaped < 0 && errno == EINTR));
  return reaped == 0;
}

}  // namespace

Orphans& Orphans::OfThisProcess() {
  static Orphans& orphans = *new Orphans;  // for as long as any thread may end a worker
  return orphans;
}

void Orphans::Reap(pid_t group, absl::Duration patience) {
  const absl::Duration deadline = SteadyNow() + patience;
  bool live = ReapEnded(group);
  while (live && SteadyNow() < deadline) {
    absl::SleepFor(absl::Milliseconds(1));
    live = ReapEnded(group);
  }
  const absl::MutexLock lock(&mutex_);
  std::erase_if(left_, [](pid_t other) { return !ReapEnded(other); });
  if (live) {
    left_.push_back(group);
  }
}

}  // namespace hone::server::worker_process
