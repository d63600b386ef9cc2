#pragma once

#include <sys/types.h>

#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace hone::server::worker_process {

// What workers started and left behind. They become children of ours where this is the first
// process of a container, in which nobody else reaps them. For any thread.
class Orphans {
 public:
  // Those of all workers of this process.
  static Orphans& OfThisProcess();

  // Reaps those of a process group whose leader has been reaped and which was told to end
  // (SIGKILL). Waits at most `patience` for them; one that takes longer to die, as a disk that does
  // not answer makes it, is reaped by a later call for any group.
  void Reap(pid_t group, absl::Duration patience);

 private:
  absl::Mutex mutex_;
  std::vector<pid_t> left_ ABSL_GUARDED_BY(mutex_);  // groups with a member that lives
};

}  // namespace hone::server::worker_process
