#pragma once

#include <utility>

#include "absl/strings/string_view.h"

namespace hone::server::jobs {

enum class JobState {
  kQueued,
  kRunning,
  kCancelling,
  kPausing,
  kPaused,
  kSucceeded,
  kFailed,
  kCancelled,
};

inline constexpr JobState kAllStates[] = {
    JobState::kQueued, JobState::kRunning,   JobState::kCancelling, JobState::kPausing,
    JobState::kPaused, JobState::kSucceeded, JobState::kFailed,     JobState::kCancelled};

// The whole life of a job. A change that is not listed here cannot be written to the store:
// the newest trigger `job_state_change` in store/sql/ has the same list.
inline constexpr std::pair<JobState, JobState> kTransitions[] = {
    {JobState::kQueued, JobState::kRunning},    // claimed by the scheduler
    {JobState::kQueued, JobState::kCancelled},  // by the user, before it ran
    {JobState::kQueued, JobState::kPaused},     // by the user, before it ran
    {JobState::kQueued, JobState::kFailed},     // its deadline came first
    {JobState::kRunning, JobState::kQueued},    // drained, found after a restart, or to be tried
                                                // again
    {JobState::kRunning, JobState::kSucceeded},
    {JobState::kRunning, JobState::kFailed},
    {JobState::kRunning, JobState::kCancelling},  // the user's wish is stored; the worker is told
                                                  // next
    {JobState::kRunning, JobState::kPausing},
    {JobState::kCancelling, JobState::kCancelled},
    {JobState::kCancelling, JobState::kSucceeded},  // it was done before it heard
    {JobState::kCancelling, JobState::kFailed},
    {JobState::kPausing, JobState::kPaused},
    {JobState::kPausing, JobState::kSucceeded},
    {JobState::kPausing, JobState::kFailed},
    {JobState::kPausing, JobState::kCancelling},
    {JobState::kPaused, JobState::kQueued},  // resumed
    {JobState::kPaused, JobState::kCancelled},
    {JobState::kPaused, JobState::kFailed},  // its deadline came
};

constexpr bool IsAllowed(JobState from, JobState to) {
  for (const auto& [a, b] : kTransitions) {
    if (a == from && b == to) {
      return true;
    }
  }
  return false;
}

// Nothing follows.
constexpr bool IsEnd(JobState state) {
  for (const auto& [from, to] : kTransitions) {
    if (from == state) {
      return false;
    }
  }
  return true;
}

// A worker process belongs to the job in this state.
constexpr bool HasWorker(JobState state) {
  return state == JobState::kRunning || state == JobState::kCancelling ||
         state == JobState::kPausing;
}

// As in Job.State of the proto and in the store: "QUEUED".
constexpr absl::string_view StateName(JobState state) {
  switch (state) {
    case JobState::kQueued:
      return "QUEUED";
    case JobState::kRunning:
      return "RUNNING";
    case JobState::kCancelling:
      return "CANCELLING";
    case JobState::kPausing:
      return "PAUSING";
    case JobState::kPaused:
      return "PAUSED";
    case JobState::kSucceeded:
      return "SUCCEEDED";
    case JobState::kFailed:
      return "FAILED";
    case JobState::kCancelled:
      return "CANCELLED";
  }
  return "";
}

}  // namespace hone::server::jobs
