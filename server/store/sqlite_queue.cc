// The queue: who is next, who is passed, who is claimed and goes back into it.
#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/store/sqlite_job_store.h"
#include "server/store/sqlite_projects.h"

namespace hone::server::store {
namespace {

using jobs::JobState;

// A job that is to wait longer was put back before the clock was: its time has come.
constexpr absl::Duration kLongestDelay = absl::Hours(1);

}  // namespace

absl::Status SqliteStore::PrepareQueue() {
  const std::string select = absl::StrCat("SELECT ", kJobColumns, " FROM job ");
  return Prepare({
      {&waiting_,
       absl::StrCat(kWaitingProjects,
                    "SELECT project.name, used, (SELECT max(served) FROM project), ", kShareColumns,
                    " FROM waiting CROSS JOIN project ON project.name = waiting.name")},
      // As CountedUse.
      {&running_,
       "SELECT project, count(*), sum(threads), sum(memory), "
       "sum(threads * min(max((?1 - start_time) / 1e9, 1), 3600)) FROM job INDEXED BY "
       "job_by_state_in_order WHERE state IN ('RUNNING', 'CANCELLING', 'PAUSING') GROUP BY "
       "project"},
      {&first_, select +
                    "INDEXED BY job_queue WHERE project = ?1 AND state = 'QUEUED' AND held = 0 "
                    "AND NOT (not_before BETWEEN ?2 AND ?3) AND threads <= ?4 AND memory <= ?5 "
                    "ORDER BY priority DESC, row LIMIT 1"},
      {&serve_, "UPDATE project SET used = ?, served = ? WHERE name = ?"},
      {&charge_, "UPDATE project SET used = used + ? / weight WHERE name = ?"},
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

absl::StatusOr<std::vector<SqliteStore::Waiting>> SqliteStore::LoadWaiting(absl::Time now,
                                                                           double& served) {
  struct Running {
    int64_t jobs = 0, threads = 0, memory = 0;
    double seconds = 0;  // of threads
  };
  std::map<std::string, Running> running;  // by project
  const Standing running_standing(running_);
  running_.Reset().Int(ToNanos(now));
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, running_.Step());
    if (!found) {
      break;
    }
    running[std::string(running_.ColumnBytes(0))] = {.jobs = running_.ColumnInt(1),
                                                     .threads = running_.ColumnInt(2),
                                                     .memory = running_.ColumnInt(3),
                                                     .seconds = running_.ColumnReal(4)};
  }
  const auto limit = [](int64_t share) {
    return share == 0 ? std::numeric_limits<int64_t>::max() : share;
  };
  std::vector<Waiting> all;
  const Standing waiting_standing(waiting_);
  waiting_.Reset();
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, waiting_.Step());
    if (!found) {
      return all;
    }
    std::string name(waiting_.ColumnBytes(0));
    const Running& runs = running[name];
    const Shares shares = ReadShares(waiting_, 3);
    served = waiting_.ColumnReal(2);
    if (runs.jobs < limit(shares.running_jobs)) {
      all.push_back({.project = {.project = std::move(name),
                                 .weight = shares.weight,
                                 .used = waiting_.ColumnReal(1),
                                 .running = runs.seconds},
                     .threads = limit(shares.threads),
                     .threads_left = limit(shares.threads) - runs.threads,
                     .memory = limit(shares.memory_bytes),
                     .memory_left = limit(shares.memory_bytes) - runs.memory});
    }
  }
}

absl::StatusOr<std::optional<SqliteStore::NextJob>> SqliteStore::LoadNext(absl::Time now) {
  double served = 0;
  HONE_ASSIGN_OR_RETURN(std::vector<Waiting> waiting, LoadWaiting(now, served));
  // They come by name.
  std::ranges::stable_sort(waiting, {},
                           [served](const Waiting& one) { return TurnOf(one.project, served); });
  for (const Waiting& one : waiting) {
    absl::StatusOr<JobRow> row = LoadBy(first_.Reset()
                                            .Text(one.project.project)
                                            .Int(ToNanos(now) + 1)
                                            .Int(ToNanos(now + kLongestDelay))
                                            .Int(one.threads)
                                            .Int(one.memory));
    if (absl::IsNotFound(row.status())) {
      continue;
    }
    HONE_RETURN_IF_ERROR(row.status());
    // It waits for what its project's other jobs use. Smaller ones of the project do not overtake
    // it, but those of others do.
    if (row->job.threads > one.threads_left ||
        row->job.plan.peak_memory_bytes() > one.memory_left) {
      continue;
    }
    return NextJob{.row = *std::move(row), .project = one.project, .served = served};
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<jobs::Job>> SqliteStore::Next(absl::Time now) {
  HONE_ASSIGN_OR_RETURN(std::optional<NextJob> next, LoadNext(now));
  return next.has_value() ? std::optional(std::move(next->row.job)) : std::nullopt;
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
  HONE_ASSIGN_OR_RETURN(const std::optional<NextJob> next, LoadNext(now));
  // The first one waits for its threads; smaller ones do not overtake it, else it might wait for
  // ever.
  if (!next.has_value() || next->row.job.threads > threads) {
    return std::nullopt;
  }
  const absl::Status status = Atomically([&]() -> absl::Status {
    HONE_RETURN_IF_ERROR(serve_.Reset()
                             .Real(UsedAfterClaim(next->project, next->served))
                             .Real(TurnOf(next->project, next->served))
                             .Text(next->project.project)
                             .Run());
    return Apply(next->row,
                 {.from = JobState::kQueued,
                  .attempt = next->row.job.attempt,
                  .to = JobState::kRunning,
                  .add_attempt = 1,
                  .message = "",
                  .owner = owner_,
                  .lease = now + kLease,
                  .start_time = now},
                 now);
  });
  HONE_RETURN_IF_ERROR(status);
  HONE_ASSIGN_OR_RETURN(JobRow claimed, Load(next->row.job.id));
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
