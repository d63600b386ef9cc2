#include "server/scheduler/decide.h"

#include <csignal>

#include "absl/strings/str_cat.h"
#include "server/jobs/job.h"

namespace hone::server::scheduler {
namespace {

using jobs::JobState;

Decision End(JobState state, v1::Job::EndReason reason, std::string message) {
  return {.ending = store::Ending{.state = state, .reason = reason, .message = std::move(message)},
          .requeueing = {}};
}

Decision Again(std::string message) {
  return {.ending = {}, .requeueing = store::Requeueing{.message = std::move(message)}};
}

std::string WhatHappened(const Outcome& outcome) {
  if (outcome.hung) {
    return "the worker said nothing for too long and was killed";
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
  again.requeueing->delay = retry_delay * (1 << failures);
  return again;
}

}  // namespace

Decision Decide(const Outcome& outcome, int failures, absl::Duration retry_delay) {
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
    return End(JobState::kFailed, jobs::ParseEndReason(failure.end_reason()),
               failure.step() > 0 ? absl::StrCat(failure.message(), " (step ", failure.step(), ")")
                                  : failure.message());
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
    return Again("the worker was killed from outside");
  }
  return Charged(outcome, failures, retry_delay);
}

}  // namespace hone::server::scheduler
