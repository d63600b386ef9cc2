#pragma once

#include <cstdint>
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
  bool hung = false;           // killed because it was silent or made no progress
  bool cancelled = false;      // the user asked for it
  bool paused = false;         // the same, for a pause
  bool overdue = false;        // its deadline has passed
  bool out_of_memory = false;  // the kernel killed it for lack of memory, which it had taken
  bool crowded_out = false;    // the same, but others had taken the memory
  bool draining = false;       // the server shuts down
};

// What follows: an end, or back into the queue. Exactly one is set.
struct Decision {
  std::optional<store::Ending> ending;
  std::optional<store::Requeueing> requeueing;
};

// The kernel killed somebody for lack of memory while the worker ran: says of one that was killed
// whether it held its `share` (0: it has none, and holds what it likes) or less.
void BlameForMemory(int64_t share, Outcome& outcome);

// How the attempts since the newest checkpoint ended.
struct Record {
  int failures = 0;  // charged
  int retries = 0;   // for the sake of the disk, the network or the machine: they cost nothing
};

// Charged failures in a row, without a checkpoint between them, that end a job.
inline constexpr int kMaxFailures = 3;
// Retries in a row after which the disk or the network is given up: about eight hours.
inline constexpr int kMaxRetries = 100;

// `retry_delay` is the delay after the first failure or retry, doubled by each further one up to
// kLongestRetryDelay. Pure.
Decision Decide(const Outcome& outcome, const Record& record, absl::Duration retry_delay);

// Back into the queue because the disk, the network or the machine failed; after kMaxRetries, the
// end with `reason`.
Decision RetryLater(std::string message, v1::Job::EndReason reason, const Record& record,
                    absl::Duration retry_delay);

inline constexpr absl::Duration kLongestRetryDelay = absl::Minutes(5);

// `first`, doubled for each time before, up to kLongestRetryDelay.
absl::Duration Delay(absl::Duration first, int before);

}  // namespace hone::server::scheduler
