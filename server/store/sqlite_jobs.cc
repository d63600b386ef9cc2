// The life of jobs: every change of state, and the events that say so.
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/jobs/resolve.h"
#include "server/store/sqlite_job_store.h"

namespace hone::server::store {
namespace {

using jobs::JobState;

void BindOptional(Statement& statement, const std::optional<std::string>& value, bool blob) {
  if (!value.has_value()) {
    statement.Null();
  } else if (blob) {
    statement.Blob(*value);
  } else {
    statement.Text(*value);
  }
}

// Three centuries: the sum over a queue stays a number of SQLite.
constexpr double kMostExpectedMs = 1e13;

// Of the checkpoint that the run goes on from by now, where the report says.
std::optional<int64_t> CheckpointStep(const Report& report) {
  std::optional<int64_t> step;
  for (const v1::Event& event : report.events) {
    if (event.has_started()) {
      step = event.started().resumed_from_step();
    } else if (event.has_checkpoint()) {
      step = event.checkpoint().step();
    }
  }
  return step;
}

// Of the newest checkpoint that the report tells of.
std::optional<int64_t> CheckpointBytes(const Report& report) {
  std::optional<int64_t> bytes;
  for (const v1::Event& event : report.events) {
    if (event.has_checkpoint()) {
      bytes = event.checkpoint().bytes();
    }
  }
  return bytes;
}

}  // namespace

void FollowWish(JobState state, Change& change) {
  if (jobs::HasWorker(state)) {
    change.from = state;
  }
  if (state == JobState::kCancelling) {
    change.to = JobState::kCancelled;
    change.reason = v1::Job::USER;
    change.message = "cancelled by the user";
  } else if (state == JobState::kPausing) {
    change.to = JobState::kPaused;
    change.message = "paused by the user";
  }
}

absl::Status SqliteStore::PrepareJobs() {
  const std::string select = absl::StrCat("SELECT ", kJobColumns, " FROM job ");
  return Prepare({
      {&insert_,
       "INSERT INTO job (id, request_id, task, spec, plan, threads, priority, deadline, retry_of, "
       "state, create_time, expected_ms, request, checkpoint_step, resolved, makes_model, "
       "project, created_by, memory, last_sequence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'QUEUED', "
       "?, ?, ?, ?, ?, ?, ?, ?, ?, 1)"},
      {&label_, "INSERT INTO job_label VALUES (?, ?)"},
      {&set_trace_, "UPDATE job SET traceparent = ? WHERE id = ?"},
      {&load_trace_, "SELECT traceparent FROM job WHERE id = ?"},
      {&load_, select + "WHERE id = ?"},
      {&load_request_, select + "WHERE request_id = ?"},
      {&has_model_, "SELECT 1 FROM model WHERE id = ? AND project = ?"},
      {&change_,
       "UPDATE job SET state = ?, attempt = attempt + ?, end_reason = ?, end_time = ?, "
       "message = ?, held = ?, owner = coalesce(?, owner), failures = coalesce(?, failures), "
       "retries = coalesce(?, retries), recoveries = coalesce(?, recoveries), not_before = "
       "coalesce(?, not_before), "
       "lease = coalesce(?, lease), start_time = coalesce(?, start_time), "
       "evaluation = coalesce(?, evaluation), model_id = coalesce(?, model_id), "
       "last_sequence = last_sequence + 1 WHERE row = ? AND state = ? AND attempt = ?"},
      {&append_,
       "UPDATE job SET last_sequence = last_sequence + ?1, progress = ?2, latest = ?3, "
       "recoveries = iif(?4 > checkpoint_step, 0, recoveries), "
       "checkpoint_step = coalesce(?4, checkpoint_step), "
       "checkpoint_bytes = coalesce(?7, checkpoint_bytes) "
       "WHERE row = ?5 AND state IN ('RUNNING', 'CANCELLING', 'PAUSING') AND attempt = ?6"},
      {&event_, "INSERT INTO event VALUES (?, ?, ?)"},
      {&model_,
       "INSERT INTO model (id, job_row, payload, display_name, bytes, create_time, task, job_id, "
       "project) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"},
  });
}

absl::StatusOr<JobRow> SqliteStore::LoadBy(Statement& statement) {
  HONE_ASSIGN_OR_RETURN(const bool found, statement.Step());
  if (!found) {
    return absl::NotFoundError("no such job");
  }
  absl::StatusOr<JobRow> row = ReadJob(statement);
  statement.Reset();
  return row;
}

absl::StatusOr<JobRow> SqliteStore::Load(const std::string& id) {
  absl::StatusOr<JobRow> row = LoadBy(load_.Reset().Text(id));
  if (absl::IsNotFound(row.status())) {
    return jobs::JobNotFound(id);
  }
  return row;
}

absl::Status SqliteStore::Log(const JobRow& row, v1::Event event, int64_t sequence, int attempt,
                              absl::Time now) {
  event.set_sequence(sequence);
  event.set_attempt(attempt);
  if (!event.has_time()) {
    *event.mutable_time() =
        google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(now));
  }
  HONE_RETURN_IF_ERROR(
      event_.Reset().Int(row.row).Int(sequence).Blob(event.SerializeAsString()).Run());
  logged_.push_back({row.job.id, jobs::TaskName(row.job.spec),
                     std::make_shared<const v1::Event>(std::move(event))});
  return absl::OkStatus();
}

absl::Status SqliteStore::Apply(const JobRow& row, const Change& change, absl::Time now) {
  if (!jobs::IsAllowed(change.from, change.to)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "a job cannot go from ", jobs::StateName(change.from), " to ", jobs::StateName(change.to)));
  }
  const bool ends = jobs::IsEnd(change.to);
  change_.Reset()
      .Text(jobs::StateName(change.to))
      .Int(change.add_attempt)
      .Int(ends ? change.reason : 0)
      .Int(ends ? ToNanos(now) : 0)
      .Text(change.message)
      .Int(change.held && change.to == JobState::kQueued ? 1 : 0);
  BindOptional(change_, change.owner, false);
  const auto bind_number = [&](const std::optional<int64_t>& value) {
    value.has_value() ? change_.Int(*value) : change_.Null();
  };
  bind_number(change.failures);
  bind_number(change.retries);
  bind_number(change.recoveries);
  bind_number(change.not_before ? std::optional(ToNanos(*change.not_before)) : std::nullopt);
  bind_number(change.lease ? std::optional(ToNanos(*change.lease)) : std::nullopt);
  bind_number(change.start_time ? std::optional(ToNanos(*change.start_time)) : std::nullopt);
  BindOptional(change_, change.evaluation, true);
  BindOptional(change_, change.model_id, false);
  change_.Int(row.row).Text(jobs::StateName(change.from)).Int(change.attempt);
  HONE_RETURN_IF_ERROR(change_.Run());
  if (sqlite3_changes(connection_.get()) != 1) {
    return absl::AbortedError(absl::StrCat("job ", row.job.id, " is not ",
                                           jobs::StateName(change.from), " in attempt ",
                                           change.attempt));
  }
  if (jobs::HasWorker(change.from) && !jobs::HasWorker(change.to)) {
    HONE_RETURN_IF_ERROR(charge_.Reset()
                             .Real(CountedUse(row.job.threads, now - row.job.start_time))
                             .Text(row.job.project)
                             .Run());
  }
  v1::Event event;
  event.mutable_state()->set_state(jobs::ToProto(change.to));
  event.mutable_state()->set_message(change.message);
  if (ends) {
    event.mutable_state()->set_end_reason(change.reason);
  }
  return Log(row, std::move(event), row.job.last_sequence + 1, change.attempt + change.add_attempt,
             now);
}

// That it stays: see ForgetCheckpoints, Delete and DeleteModel.
absl::StatusOr<int64_t> SqliteStore::CheckOrigins(const NewJob& job) {
  int64_t step = 0;
  if (!job.retry_of.empty()) {
    HONE_ASSIGN_OR_RETURN(const JobRow old, Load(job.retry_of));
    if (old.job.project != job.project) {
      return jobs::JobNotFound(job.retry_of);
    }
    if (old.job.checkpoints_removed) {
      return absl::FailedPreconditionError(
          absl::StrCat("the checkpoints of jobs/", job.retry_of,
                       ", with which it would begin, were removed; `from_start` starts over"));
    }
    step = old.job.checkpoint_step;
  }
  for (const auto& [field, model] : jobs::ModelsOf(job.spec)) {
    HONE_ASSIGN_OR_RETURN(const std::string id, jobs::ModelId(model));
    HONE_ASSIGN_OR_RETURN(const bool found, has_model_.Reset().Text(id).Text(job.project).Step());
    has_model_.Reset();
    if (!found) {
      return Annotate(jobs::ModelNotFound(id), field);
    }
  }
  return step;
}

absl::StatusOr<jobs::Job> SqliteStore::Insert(const NewJob& job, absl::Time now) {
  if (!job.request_id.empty()) {
    absl::StatusOr<JobRow> known =
        LoadBy(load_request_.Reset().Text(RequestKey(job.project, job.request_id)));
    if (!absl::IsNotFound(known.status())) {
      HONE_RETURN_IF_ERROR(known.status());
      HONE_RETURN_IF_ERROR(CheckSameRequest(known->job, job.request_id, job.spec, job.request));
      return std::move(known->job);
    }
  }
  HONE_RETURN_IF_ERROR(projects_->CheckRoomForJob(job.project));
  HONE_ASSIGN_OR_RETURN(const int64_t checkpoint_step, CheckOrigins(job));
  const v1::JobSpec resolved = job.resolved.has_training() ? job.resolved : jobs::Resolve(job.spec);
  const absl::Status inserted = Atomically([&]() -> absl::Status {
    HONE_RETURN_IF_ERROR(projects_->Ensure(job.project, now));
    insert_.Reset().Text(job.id);
    job.request_id.empty() ? insert_.Null() : insert_.Text(RequestKey(job.project, job.request_id));
    insert_.Text(jobs::TaskName(job.spec))
        .Blob(Serialize(job.spec))
        .Blob(Serialize(job.plan))
        .Int(job.threads)
        .Int(resolved.priority())
        .Int(ToNanos(jobs::Deadline(resolved, now)))
        .Text(job.retry_of)
        .Int(ToNanos(now));
    job.plan.has_seconds()
        ? insert_.Int(static_cast<int64_t>(std::min(kMostExpectedMs, 1e3 * job.plan.seconds())))
        : insert_.Null();
    HONE_RETURN_IF_ERROR(insert_.Text(job.request)
                             .Int(checkpoint_step)
                             .Blob(Serialize(resolved))
                             .Text(jobs::NewId())
                             .Text(job.project)
                             .Text(job.created_by)
                             .Int(job.plan.peak_memory_bytes())
                             .Run());
    HONE_ASSIGN_OR_RETURN(const JobRow row, Load(job.id));
    for (const auto& [key, value] : resolved.labels()) {
      HONE_RETURN_IF_ERROR(label_.Reset().Int(row.row).Text(absl::StrCat(key, "=", value)).Run());
    }
    if (!job.traceparent.empty()) {
      HONE_RETURN_IF_ERROR(set_trace_.Reset().Text(job.traceparent).Text(job.id).Run());
    }
    v1::Event event;
    event.mutable_state()->set_state(v1::Job::QUEUED);
    return Log(row, std::move(event), 1, 0, now);
  });
  HONE_RETURN_IF_ERROR(inserted);
  HONE_ASSIGN_OR_RETURN(JobRow row, Load(job.id));
  return std::move(row.job);
}

absl::StatusOr<std::string> SqliteStore::TraceparentOf(const std::string& id) {
  HONE_ASSIGN_OR_RETURN(const bool found, load_trace_.Reset().Text(id).Step());
  if (!found) {
    return jobs::JobNotFound(id);
  }
  std::string traceparent(load_trace_.ColumnBytes(0));
  load_trace_.Reset();
  return traceparent;
}

absl::Status SqliteStore::Append(const std::string& id, int attempt, const Report& report,
                                 absl::Time now) {
  return Atomically([&]() -> absl::Status {
    HONE_ASSIGN_OR_RETURN(const JobRow row, Load(id));
    append_.Reset()
        .Int(static_cast<int64_t>(report.events.size()))
        .Blob(Serialize(report.progress))
        .Blob(Serialize(report.latest));
    const std::optional<int64_t> step = CheckpointStep(report);
    step.has_value() ? append_.Int(*step) : append_.Null();
    append_.Int(row.row).Int(attempt);
    const std::optional<int64_t> bytes = CheckpointBytes(report);
    bytes.has_value() ? append_.Int(*bytes) : append_.Null();
    HONE_RETURN_IF_ERROR(append_.Run());
    if (sqlite3_changes(connection_.get()) != 1) {
      return absl::AbortedError(absl::StrCat("job ", id, " does not run in attempt ", attempt,
                                             ": it is ", jobs::StateName(row.job.state),
                                             ", attempt ", row.job.attempt));
    }
    int64_t sequence = row.job.last_sequence;
    for (const v1::Event& event : report.events) {
      HONE_RETURN_IF_ERROR(Log(row, event, ++sequence, attempt, now));
    }
    return absl::OkStatus();
  });
}

absl::Status SqliteStore::Finish(const std::string& id, int attempt, const Ending& ending,
                                 absl::Time now) {
  return Atomically([&]() -> absl::Status {
    HONE_ASSIGN_OR_RETURN(const JobRow row, Load(id));
    Change change{.from = row.job.state,
                  .attempt = attempt,
                  .to = ending.state,
                  .reason = ending.reason,
                  .message = ending.message};
    if (ending.state == JobState::kPaused) {
      FollowWish(row.job.state, change);
    }
    if (ending.evaluation.ByteSizeLong() > 0) {
      change.evaluation = Serialize(ending.evaluation);
    }
    if (ending.model.has_value()) {
      v1::Model model = *ending.model;
      HONE_ASSIGN_OR_RETURN(const std::string model_id, jobs::ModelId(model.name()));
      change.model_id = model_id;
      if (row.job.resolved.display_name() != row.job.spec.display_name()) {
        model.set_display_name(row.job.resolved.display_name());  // changed while it ran
      }
      HONE_RETURN_IF_ERROR(InsertModel(model, row.job.project, row.row, row.job.id, now));
    }
    if (!jobs::HasWorker(row.job.state)) {
      return absl::AbortedError(absl::StrCat("job ", id, " does not run in attempt ", attempt,
                                             ": it is ", jobs::StateName(row.job.state)));
    }
    return Apply(row, change, now);
  });
}

absl::Status SqliteStore::InsertModel(const v1::Model& model, const std::string& project,
                                      int64_t job_row, const std::string& job_id, absl::Time now) {
  HONE_ASSIGN_OR_RETURN(const std::string id, jobs::ModelId(model.name()));
  HONE_RETURN_IF_ERROR(model_.Reset()
                           .Text(id)
                           .Int(job_row)
                           .Blob(Serialize(model))
                           .Text(model.display_name())
                           .Int(model.bytes())
                           .Int(ToNanos(now))
                           .Text(model.task())
                           .Text(job_id)
                           .Text(project)
                           .Run());
  return FolderIsRemoved({.kind = Folder::Kind::kDraft, .id = id});
}

}  // namespace hone::server::store
