// The queue: who is next, who is passed, who is claimed and goes back into it.
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/store/sqlite_job_store.h"

namespace hone::server::store {
namespace {

using jobs::JobState;

// A job that is to wait longer was put back before the clock was: its time has come.
constexpr absl::Duration kLongestDelay = absl::Hours(1);

}  // namespace

absl::Status SqliteStore::PrepareQueue() {
  const std::string select = absl::StrCat("SELECT ", kJobColumns, " FROM job ");
  return Prepare({
      {&next_, select + "WHERE state = 'QUEUED' AND held = 0 AND "
                        "NOT (not_before BETWEEN ?1 AND ?2) ORDER BY priority DESC, row LIMIT 1"},
      {&hold_,
       "UPDATE job SET held = 1, message = ?, last_sequence = last_sequence + 1 "
       "WHERE row = ? AND state = 'QUEUED'"},
      {&release_, "UPDATE job SET held = 0, message = '' WHERE held = 1"},
      {&set_threads_, "UPDATE job SET threads = ? WHERE id = ? AND state = 'QUEUED'"},
      {&overdue_, select + "INDEXED BY job_by_deadline WHERE state IN ('QUEUED', 'PAUSED') AND "
                           "deadline > 0 AND deadline <= ? LIMIT 1"},
      {&mine_,
       select + "WHERE state IN ('RUNNING', 'CANCELLING', 'PAUSING') AND (owner = ? OR lease < ?) "
                "LIMIT 1"},
      {&renew_,
       "UPDATE job SET lease = ? WHERE state IN "
       "('RUNNING', 'CANCELLING', 'PAUSING') AND owner = ?"},
  });
}

absl::StatusOr<JobRow> SqliteStore::LoadNext(absl::Time now) {
  return LoadBy(next_.Reset().Int(ToNanos(now) + 1).Int(ToNanos(now + kLongestDelay)));
}

absl::StatusOr<std::optional<jobs::Job>> SqliteStore::Next(absl::Time now) {
  absl::StatusOr<JobRow> row = LoadNext(now);
  if (absl::IsNotFound(row.status())) {
    return std::nullopt;
  }
  HONE_RETURN_IF_ERROR(row.status());
  return std::move(row->job);
}

absl::Status SqliteStore::Hold(const std::string& id, const std::string& reason, absl::Time now) {
  return Atomically([&]() -> absl::Status {
    HONE_ASSIGN_OR_RETURN(const JobRow row, Load(id));
    HONE_RETURN_IF_ERROR(hold_.Reset().Text(reason).Int(row.row).Run());
    if (sqlite3_changes(connection_.get()) != 1) {
      return absl::FailedPreconditionError(absl::StrCat(
          "job ", id, " is ", jobs::StateName(row.job.state), " and waits for nothing"));
    }
    v1::Event event;
    event.mutable_state()->set_state(v1::Job::QUEUED);
    event.mutable_state()->set_message(reason);
    return Log(row, std::move(event), row.job.last_sequence + 1, row.job.attempt, now);
  });
}

absl::Status SqliteStore::SetThreads(const std::string& id, int threads) {
  return set_threads_.Reset().Int(threads).Text(id).Run();
}

absl::StatusOr<std::optional<jobs::Job>> SqliteStore::Claim(int threads, absl::Time now) {
  const absl::StatusOr<JobRow> row = LoadNext(now);
  if (absl::IsNotFound(row.status())) {
    return std::nullopt;
  }
  HONE_RETURN_IF_ERROR(row.status());
  // The first one waits for its threads; smaller ones do not overtake it, else it might wait for
  // ever.
  if (row->job.threads > threads) {
    return std::nullopt;
  }
  HONE_RETURN_IF_ERROR(Atomically([&] {
    return Apply(*row,
                 {.from = JobState::kQueued,
                  .attempt = row->job.attempt,
                  .to = JobState::kRunning,
                  .add_attempt = 1,
                  .message = "",
                  .owner = owner_,
                  .lease = now + kLease,
                  .start_time = now},
                 now);
  }));
  HONE_ASSIGN_OR_RETURN(JobRow claimed, Load(row->job.id));
  return std::move(claimed.job);
}

absl::Status SqliteStore::Requeue(const std::string& id, int attempt, const Requeueing& how,
                                  absl::Time now) {
  return Atomically([&]() -> absl::Status {
    HONE_ASSIGN_OR_RETURN(const JobRow row, Load(id));
    const bool forgiven = how.checkpointed;
    Change change{
        .from = JobState::kRunning,
        .attempt = attempt,
        .to = JobState::kQueued,
        .message = how.message,
        .held = how.held,
        .owner = "",
        .failures = (forgiven ? 0 : row.job.failures) + (how.charged ? 1 : 0),
        .retries = (forgiven ? 0 : row.job.retries) + (how.retry ? 1 : 0),
        .recoveries = forgiven ? 0 : row.job.recoveries,
        .not_before = now + how.delay,
    };
    FollowWish(row.job.state, change);
    return Apply(row, change, now);
  });
}

absl::StatusOr<int> SqliteStore::Recover(absl::Time now) {
  // Another server than the one that held them may have room for them.
  HONE_RETURN_IF_ERROR(release_.Reset().Run());
  for (int recovered = 0;; ++recovered) {
    const absl::StatusOr<JobRow> row = LoadBy(mine_.Reset().Text(owner_).Int(ToNanos(now)));
    if (absl::IsNotFound(row.status())) {
      return recovered;
    }
    HONE_RETURN_IF_ERROR(row.status());
    Change change{.attempt = row->job.attempt,
                  .to = JobState::kQueued,
                  .message = "the server was started again",
                  .owner = "",
                  .recoveries = row->job.recoveries + 1};
    if (*change.recoveries >= kMaxRecoveries) {
      change.to = JobState::kFailed;
      change.reason = v1::Job::POISON;
      change.message = absl::StrCat("the server ended while the job ran, ", kMaxRecoveries,
                                    " times without a newer checkpoint");
    }
    FollowWish(row->job.state, change);
    HONE_RETURN_IF_ERROR(Atomically([&] { return Apply(*row, change, now); }));
  }
}

absl::Status SqliteStore::RenewLeases(absl::Time now) {
  return renew_.Reset().Int(ToNanos(now + kLease)).Text(owner_).Run();
}

}  // namespace hone::server::store
