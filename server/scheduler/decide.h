#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "hone/v1/worker.pb.h"
#include "server/store/job_store.h"
#include "server/worker_process/worker_process.h"

namespace hone::server::scheduler {

// All that is known when a worker has ended.
struct Outcome {
  std::optional<v1::WorkerFrame::Finished> finished;
  std::optional<v1::Failure> failure;
  worker_process::ExitStatus exit;
  absl::Status pipe;           // not OK: what it sent was no frame
  bool hung = false;           // killed because it was silent
  bool cancelled = false;      // the user asked for it
  bool paused = false;         // the same, for a pause
  bool overdue = false;        // its deadline has passed
  bool out_of_memory = false;  // the kernel's out-of-memory killer was at work meanwhile
  bool draining = false;       // the server shuts down
};

// What follows: an end, or back into the queue. Exactly one is set.
struct Decision {
  std::optional<store::Ending> ending;
  std::optional<store::Requeueing> requeueing;
};

// Charged failures in a row, without a checkpoint between them, that end a job.
inline constexpr int kMaxFailures = 3;

// `failures` are those charged so far (0 where this attempt wrote a checkpoint); `retry_delay` is
// the delay after the first one, doubled by each further one. Pure.
Decision Decide(const Outcome& outcome, int failures, absl::Duration retry_delay);

}  // namespace hone::server::scheduler
