// What users wish of a job, and what its deadline does to it while it waits.
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/jobs/reason.h"
#include "server/store/sqlite_job_store.h"

namespace hone::server::store {
namespace {

using jobs::JobState;

// Jobs whose deadline ends them in one transaction.
constexpr int kOverdueAtOnce = 500;

}  // namespace

absl::StatusOr<jobs::Job> SqliteStore::Move(
    const std::string& id, absl::string_view wish, const std::string& message,
    absl::FunctionRef<std::optional<JobState>(JobState)> next, absl::Time now) {
  HONE_ASSIGN_OR_RETURN(const JobRow row, Load(id));
  const JobState state = row.job.state;
  const std::optional<JobState> to = next(state);
  if (!to.has_value()) {
    return jobs::WithReason(absl::FailedPreconditionError(absl::StrCat(
                                "jobs/", id, jobs::IsEnd(state) ? " has ended: it is " : " is ",
                                jobs::StateName(state), " and cannot be ", wish)),
                            jobs::reason::kJobState);
  }
  if (*to == state) {
    return row.job;
  }
  HONE_RETURN_IF_ERROR(Atomically([&] {
    Change change{.from = state,
                  .attempt = row.job.attempt,
                  .to = *to,
                  .reason = v1::Job::USER,
                  .message = message};
    if (*to == JobState::kQueued) {
      change.not_before = now;
    }
    return Apply(row, change, now);
  }));
  HONE_ASSIGN_OR_RETURN(JobRow after, Load(id));
  return std::move(after.job);
}

absl::StatusOr<jobs::Job> SqliteStore::RequestCancel(const std::string& id, absl::Time now) {
  return Move(
      id, "cancelled", "cancelled by the user",
      [](JobState state) -> std::optional<JobState> {
        if (jobs::IsEnd(state)) {
          return std::nullopt;
        }
        return jobs::HasWorker(state) ? JobState::kCancelling : JobState::kCancelled;
      },
      now);
}

absl::StatusOr<jobs::Job> SqliteStore::RequestPause(const std::string& id, absl::Time now) {
  return Move(
      id, "paused", "paused by the user",
      [](JobState state) -> std::optional<JobState> {
        switch (state) {
          case JobState::kQueued:
          case JobState::kPaused:
            return JobState::kPaused;
          case JobState::kRunning:
          case JobState::kPausing:
            return JobState::kPausing;
          default:
            return std::nullopt;
        }
      },
      now);
}

absl::StatusOr<jobs::Job> SqliteStore::Resume(const std::string& id, absl::Time now) {
  return Move(
      id, "resumed", "resumed by the user",
      [](JobState state) -> std::optional<JobState> {
        return state == JobState::kPaused || state == JobState::kQueued
                   ? std::optional(JobState::kQueued)
                   : std::nullopt;
      },
      now);
}

absl::StatusOr<int> SqliteStore::FailOverdue(absl::Time now) {
  int failed = 0;
  for (; failed < kOverdueAtOnce; ++failed) {
    const absl::StatusOr<JobRow> row = LoadBy(overdue_.Reset().Int(ToNanos(now)));
    if (absl::IsNotFound(row.status())) {
      break;
    }
    HONE_RETURN_IF_ERROR(row.status());
    const bool paused = row->job.state == JobState::kPaused;
    HONE_RETURN_IF_ERROR(Atomically([&] {
      return Apply(*row,
                   {.from = row->job.state,
                    .attempt = row->job.attempt,
                    .to = JobState::kFailed,
                    .reason = v1::Job::DEADLINE,
                    .message = absl::StrCat("deadline_seconds: ", row->job.spec.deadline_seconds(),
                                            " seconds were over while it ",
                                            paused ? "was paused" : "waited")},
                   now);
    }));
  }
  return failed;
}

}  // namespace hone::server::store
