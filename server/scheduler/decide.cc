#include "server/scheduler/decide.h"

#include <algorithm>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "engine/base/utf8.h"
#include "server/jobs/job.h"

namespace hone::server::scheduler {
namespace {

using jobs::JobState;

// Of those that come from outside, as retries; then the delay is at its longest.
constexpr int kMostCountedKills = 10;

// Of a worker, which says it in the job's row, its log and every list.
constexpr size_t kMostMessage = 4096;

Decision End(JobState state, v1::Job::EndReason reason, std::string message) {
  return {.ending = store::Ending{.state = state, .reason = reason, .message = std::move(message)},
          .requeueing = {}};
}

Decision Again(std::string message) {
  return {.ending = {}, .requeueing = store::Requeueing{.message = std::move(message)}};
}

std::string WhatHappened(const Outcome& outcome) {
  if (outcome.hung) {
    return "the worker was silent, or made no progress, for too long and was killed";
  }
  if (!outcome.pipe.ok()) {
    return std::string(outcome.pipe.message());
  }
  if (outcome.out_of_memory) {
    return "the worker was killed for lack of memory";
  }
  return absl::StrCat("the worker ", outcome.exit.ToString());
}

Decision Charged(const Outcome& outcome, int failures, absl::Duration retry_delay) {
  const std::string what = WhatHappened(outcome);
  if (failures + 1 >= kMaxFailures) {
    return End(JobState::kFailed,
               outcome.hung            ? v1::Job::HUNG
               : outcome.out_of_memory ? v1::Job::OUT_OF_MEMORY
                                       : v1::Job::POISON,
               absl::StrCat(what, "; ", kMaxFailures, " times without a newer checkpoint"));
  }
  Decision again = Again(absl::StrCat(what, "; it is tried again"));
  again.requeueing->charged = true;
  again.requeueing->delay = Delay(retry_delay, failures);
  return again;
}

}  // namespace

void BlameForMemory(int64_t share, Outcome& outcome) {
  if (outcome.exit.signal == SIGKILL && !outcome.exit.killed_by_us) {
    const bool its_own = outcome.exit.peak_resident_bytes >= share;
    outcome.out_of_memory = its_own;
    outcome.crowded_out = !its_own;
  }
}

absl::Duration Delay(absl::Duration first, int before) {
  return before > 20 ? kLongestRetryDelay : std::min(first * (1 << before), kLongestRetryDelay);
}

Decision RetryLater(std::string message, v1::Job::EndReason reason, const Record& record,
                    absl::Duration retry_delay) {
  if (record.retries >= kMaxRetries) {
    return End(JobState::kFailed, reason,
               absl::StrCat(message, "; ", record.retries, " retries changed nothing"));
  }
  Decision again = Again(absl::StrCat(message, "; it is tried again"));
  again.requeueing->retry = true;
  again.requeueing->delay = Delay(retry_delay, record.retries);
  return again;
}

Decision Decide(const Outcome& outcome, const Record& record, absl::Duration retry_delay) {
  const bool exited_well = outcome.exit.signal == 0 && outcome.exit.code == 0;
  if (outcome.pipe.ok() && outcome.finished.has_value() && exited_well) {
    const std::string& reason = outcome.finished->end_reason();
    if (reason != "CANCELLED") {
      return End(JobState::kSucceeded, jobs::ParseEndReason(reason), "");
    }
    if (!outcome.cancelled && !outcome.paused && !outcome.overdue) {
      return Again(outcome.draining ? "the server was shut down"
                                    : "the worker was asked to stop by somebody else");
    }
  }
  if (outcome.cancelled) {
    return End(JobState::kCancelled, v1::Job::USER, "cancelled by the user");
  }
  if (outcome.pipe.ok() && outcome.failure.has_value()) {
    const v1::Failure& failure = *outcome.failure;
    const v1::Job::EndReason reason = jobs::ParseEndReason(failure.end_reason());
    const std::string text = CutUtf8(failure.message(), kMostMessage);
    const std::string message =
        failure.step() > 0 ? absl::StrCat(text, " (step ", failure.step(), ")") : text;
    if (failure.infrastructure() && !outcome.paused && !outcome.overdue) {
      return RetryLater(message, reason, record, retry_delay);
    }
    if (!failure.infrastructure()) {
      return End(JobState::kFailed, reason, message);
    }
  }
  if (outcome.overdue) {
    return End(JobState::kFailed, v1::Job::DEADLINE, "deadline_seconds were over");
  }
  if (outcome.paused) {
    return End(JobState::kPaused, v1::Job::END_REASON_UNSPECIFIED, "paused by the user");
  }
  if (outcome.draining) {
    return Again("the server was shut down");
  }
  // Somebody else's SIGKILL is not the job's fault; those of the kernel for lack of memory, and
  // ours for silence or nonsense on the pipe, are.
  if (outcome.exit.signal == SIGKILL && !outcome.exit.killed_by_us && !outcome.out_of_memory &&
      !outcome.hung && outcome.pipe.ok()) {
    Decision again = Again(
        outcome.crowded_out ? "the machine ran out of memory and the worker was killed, although "
                              "it held less than its share"
                            : "the worker was killed from outside");
    // Counted until the delay is at its longest: kills alone give no job up, nor bring it near.
    again.requeueing->retry = record.retries < kMostCountedKills;
    if (record.retries > 0) {
      again.requeueing->delay = Delay(retry_delay, record.retries - 1);
    }
    return again;
  }
  return Charged(outcome, record.failures, retry_delay);
}

}  // namespace hone::server::scheduler
