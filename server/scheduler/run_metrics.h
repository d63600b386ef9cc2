#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/jobs/job.h"
#include "server/metrics/registry.h"
#include "server/scheduler/decide.h"
#include "server/worker_process/worker_process.h"

namespace hone::server::scheduler {

// What the scheduler alone knows of jobs, as metrics: how long they wait and last, what their
// workers spend time and memory on. For the scheduler's thread; `registry` outlives this.
class RunMetrics {
 public:
  explicit RunMetrics(metrics::Registry& registry);

  void Started(const jobs::Job& job, absl::Time now);
  void Ended(const jobs::Job& job, const Outcome& outcome, const Decision& decision,
             absl::Time now);

  struct Worker {
    pid_t pid;
    std::string phase;
  };
  // Called again and again with all workers that run jobs: the time since the last call was spent
  // in their phases. `now` is SteadyNow().
  void Passed(const std::vector<Worker>& workers, absl::Duration now);

 private:
  metrics::Registry& registry_;
  absl::Duration last_ = absl::ZeroDuration();
  absl::Duration measure_memory_at_ = absl::ZeroDuration();
  size_t measured_ = 0;  // workers
};

using worker_process::ResidentBytes;

}  // namespace hone::server::scheduler
