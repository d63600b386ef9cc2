#include "server/store/sqlite_store.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/store/schema.h"
#include "server/store/sqlite.h"
#include "server/store/sqlite_datasets.h"
#include "server/store/sqlite_reader.h"
#include "server/store/sqlite_rows.h"

namespace hone::server::store {
namespace {

using jobs::JobState;

// A job that is to wait longer was put back before the clock was: its time has come.
constexpr absl::Duration kLongestDelay = absl::Hours(1);

constexpr int kSchemaVersion = static_cast<int>(kMigrations.size());

// A change of state: what must be true before, and what is true after. Fields without a value stay
// as they are.
struct Change {
  JobState from = JobState::kQueued;
  int attempt = 0;
  JobState to = JobState::kQueued;
  int add_attempt = 0;
  v1::Job::EndReason reason = v1::Job::END_REASON_UNSPECIFIED;
  std::string message = "";
  std::optional<std::string> owner = {};
  std::optional<int> failures = {};
  std::optional<absl::Time> not_before = {};
  std::optional<absl::Time> start_time = {};
  std::optional<std::string> evaluation = {};
  std::optional<std::string> model_id = {};
};

void BindOptional(Statement& statement, const std::optional<std::string>& value, bool blob) {
  if (!value.has_value()) {
    statement.Null();
  } else if (blob) {
    statement.Blob(*value);
  } else {
    statement.Text(*value);
  }
}

class SqliteStore final : public JobStore {
 public:
  absl::Status Open(const std::string& path);

  absl::StatusOr<std::vector<LoggedEvent>> Commit(absl::FunctionRef<void()> writes) override;
  absl::StatusOr<jobs::Job> Insert(const NewJob& job, absl::Time now) override;
  absl::StatusOr<std::optional<jobs::Job>> Claim(int threads, absl::Time now) override;
  absl::Status Append(const std::string& id, int attempt, const Report& report,
                      absl::Time now) override;
  absl::Status Finish(const std::string& id, int attempt, const Ending& ending,
                      absl::Time now) override;
  absl::Status Requeue(const std::string& id, int attempt, const Requeueing& how,
                       absl::Time now) override;
  absl::StatusOr<jobs::Job> RequestCancel(const std::string& id, absl::Time now) override;
  absl::StatusOr<jobs::Job> RequestPause(const std::string& id, absl::Time now) override;
  absl::StatusOr<jobs::Job> Resume(const std::string& id, absl::Time now) override;
  absl::Status Delete(const std::string& id) override;
  absl::StatusOr<std::vector<std::string>> DeleteEnded(absl::Time before, int limit) override;
  absl::Status DeleteModel(const std::string& id) override;
  absl::StatusOr<int> RemoveGarbage(int events) override;
  absl::StatusOr<int> FailOverdue(absl::Time now) override;
  absl::StatusOr<int> Recover(absl::Time now) override;

  absl::StatusOr<jobs::Job> Get(const std::string& id) const override { return reader_->Get(id); }
  absl::StatusOr<std::optional<jobs::Job>> FindRequest(
      const std::string& request_id) const override {
    return reader_->FindRequest(request_id);
  }
  absl::StatusOr<Page<jobs::Job>> List(const ListJobs& what) const override {
    return reader_->List(what);
  }
  absl::StatusOr<std::vector<v1::Event>> ReadEvents(const std::string& id, int64_t after,
                                                    int limit) const override {
    return reader_->ReadEvents(id, after, limit);
  }
  absl::StatusOr<std::vector<JobCount>> Count() const override { return reader_->Count(); }
  absl::StatusOr<v1::Model> GetModel(const std::string& id) const override {
    return reader_->GetModel(id);
  }
  absl::StatusOr<Page<v1::Model>> ListModels(int limit, int64_t before_row) const override {
    return reader_->ListModels(limit, before_row);
  }
  absl::StatusOr<std::vector<std::string>> FindDamage() const override {
    return reader_->FindDamage();
  }
  const std::string& generation() const override { return generation_; }
  DatasetStore& datasets() override { return *datasets_; }
  const DatasetStore& datasets() const override { return *datasets_; }

 private:
  absl::Status Migrate();
  absl::Status CheckTables();
  absl::Status PrepareAll();
  // Runs `body`; where it fails, nothing of it stays.
  absl::Status Atomically(absl::FunctionRef<absl::Status()> body);
  absl::StatusOr<JobRow> Load(const std::string& id);
  absl::StatusOr<JobRow> LoadBy(Statement& statement);
  absl::Status CheckOrigins(const NewJob& job);
  absl::Status CheckNobodyBeginsWith(const std::string& model_id);
  // Loads the job, moves it from the state that it has to the one that `next` gives for that one
  // (the same: nothing happens), and returns what it is then. No next state: refused.
  absl::StatusOr<jobs::Job> Move(const std::string& id, absl::string_view wish,
                                 const std::string& message,
                                 absl::FunctionRef<std::optional<JobState>(JobState)> next,
                                 absl::Time now);
  // The one statement that changes a state, and the event that says so.
  absl::Status Apply(const JobRow& row, const Change& change, absl::Time now);
  absl::Status Log(const JobRow& row, v1::Event event, int64_t sequence, int attempt,
                   absl::Time now);

  Connection connection_;
  std::unique_ptr<SqliteReader> reader_;
  std::unique_ptr<DatasetStore> datasets_;
  std::string generation_;
  std::vector<LoggedEvent> logged_;  // in the transaction that is open
  Statement insert_, load_, load_request_, next_, change_, append_, event_, model_, mine_, label_,
      overdue_, ended_, delete_, delete_labels_, to_garbage_, garbage_, delete_events_, clean_,
      delete_model_, without_model_, has_model_, retry_, beginner_;
};

absl::Status SqliteStore::Open(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(connection_, OpenWriter(path));
  HONE_RETURN_IF_ERROR(Migrate());
  HONE_RETURN_IF_ERROR(CheckTables());
  HONE_RETURN_IF_ERROR(PrepareAll());
  HONE_ASSIGN_OR_RETURN(reader_, SqliteReader::Open(path));
  HONE_ASSIGN_OR_RETURN(datasets_, OpenSqliteDatasets(connection_.get(), path));
  return absl::OkStatus();
}

// All but the history of events, so that opening takes no longer the more was ever trained. An
// event that is damaged is found when it is read, and all of them by `PRAGMA integrity_check`.
absl::Status SqliteStore::CheckTables() {
  for (const char* table :
       {"meta", "job", "job_label", "garbage", "model", "dataset", "dataset_use", "upload"}) {
    Statement check;
    HONE_RETURN_IF_ERROR(
        check.Prepare(connection_.get(), absl::StrCat("PRAGMA quick_check('", table, "')")));
    HONE_ASSIGN_OR_RETURN(const bool answered, check.Step());
    if (!answered || check.ColumnBytes(0) != "ok") {
      return absl::DataLossError(
          absl::StrCat("the table ", table, " is damaged: ", check.ColumnBytes(0)));
    }
  }
  return absl::OkStatus();
}

absl::Status SqliteStore::Migrate() {
  Statement version;
  HONE_RETURN_IF_ERROR(version.Prepare(connection_.get(), "PRAGMA user_version"));
  HONE_RETURN_IF_ERROR(version.Step().status());
  const int64_t found = version.ColumnInt(0);
  version = Statement();
  if (found > kSchemaVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("the store was written by a newer version (schema ", found,
                     "; this program knows ", kSchemaVersion, ")"));
  }
  for (int64_t step = found; step < kSchemaVersion; ++step) {
    const std::string generation =
        step == 0 ? absl::StrCat("INSERT INTO meta VALUES ('generation', '", jobs::NewId(), "');")
                  : "";
    HONE_RETURN_IF_ERROR(
        Execute(connection_.get(),
                absl::StrCat("BEGIN IMMEDIATE;", kMigrations[static_cast<size_t>(step)], generation,
                             "PRAGMA user_version = ", step + 1, ";COMMIT;")));
  }
  Statement generation;
  HONE_RETURN_IF_ERROR(
      generation.Prepare(connection_.get(), "SELECT value FROM meta WHERE key = 'generation'"));
  HONE_ASSIGN_OR_RETURN(const bool present, generation.Step());
  if (!present) {
    return absl::DataLossError("the store has no generation");
  }
  generation_ = std::string(generation.ColumnBytes(0));
  return absl::OkStatus();
}

absl::Status SqliteStore::PrepareAll() {
  sqlite3* const connection = connection_.get();
  const std::string select = absl::StrCat("SELECT ", kJobColumns, " FROM job ");
  HONE_RETURN_IF_ERROR(insert_.Prepare(
      connection,
      "INSERT INTO job (id, request_id, task, spec, plan, threads, priority, deadline, retry_of, "
      "state, create_time, request, last_sequence) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'QUEUED', ?, ?, 1)"));
  HONE_RETURN_IF_ERROR(label_.Prepare(connection, "INSERT INTO job_label VALUES (?, ?)"));
  HONE_RETURN_IF_ERROR(load_.Prepare(connection, select + "WHERE id = ?"));
  HONE_RETURN_IF_ERROR(load_request_.Prepare(connection, select + "WHERE request_id = ?"));
  HONE_RETURN_IF_ERROR(next_.Prepare(
      connection, select + "WHERE state = 'QUEUED' AND NOT (not_before BETWEEN ?1 AND ?2) "
                           "ORDER BY priority DESC, row LIMIT 1"));
  HONE_RETURN_IF_ERROR(overdue_.Prepare(
      connection, select + "WHERE state = 'QUEUED' AND deadline > 0 AND deadline <= ? LIMIT 1"));
  HONE_RETURN_IF_ERROR(ended_.Prepare(
      connection,
      "SELECT id FROM job WHERE end_time > 0 AND end_time < ? AND NOT EXISTS (SELECT 1 FROM job AS "
      "retry WHERE retry.retry_of = job.id AND retry.retry_of != '' AND retry.state NOT IN "
      "('SUCCEEDED', 'FAILED', 'CANCELLED')) ORDER BY end_time LIMIT ?"));
  HONE_RETURN_IF_ERROR(delete_.Prepare(connection, "DELETE FROM job WHERE row = ? AND state = ?"));
  HONE_RETURN_IF_ERROR(
      delete_labels_.Prepare(connection, "DELETE FROM job_label WHERE job_row = ?"));
  HONE_RETURN_IF_ERROR(to_garbage_.Prepare(connection, "INSERT INTO garbage VALUES (?)"));
  HONE_RETURN_IF_ERROR(
      garbage_.Prepare(connection, "SELECT job_row FROM garbage ORDER BY job_row LIMIT 1"));
  HONE_RETURN_IF_ERROR(delete_events_.Prepare(
      connection,
      "DELETE FROM event WHERE job_row = ?1 AND sequence IN "
      "(SELECT sequence FROM event WHERE job_row = ?1 ORDER BY sequence LIMIT ?2)"));
  HONE_RETURN_IF_ERROR(delete_model_.Prepare(connection, "DELETE FROM model WHERE id = ?"));
  HONE_RETURN_IF_ERROR(without_model_.Prepare(
      connection, "UPDATE job SET model_id = '' WHERE id = ?1 AND model_id = ?1"));
  HONE_RETURN_IF_ERROR(has_model_.Prepare(connection, "SELECT 1 FROM model WHERE id = ?"));
  HONE_RETURN_IF_ERROR(retry_.Prepare(
      connection,
      "SELECT id, state FROM job WHERE retry_of = ? AND retry_of != '' AND state NOT IN "
      "('SUCCEEDED', 'FAILED', 'CANCELLED') LIMIT 1"));
  // A first sieve: whose spec has the model's name among its bytes.
  HONE_RETURN_IF_ERROR(beginner_.Prepare(
      connection,
      "SELECT id, state, spec FROM job WHERE state IN "
      "('QUEUED', 'RUNNING', 'CANCELLING', 'PAUSING', 'PAUSED') AND instr(spec, ?) > 0"));
  HONE_RETURN_IF_ERROR(clean_.Prepare(connection, "DELETE FROM garbage WHERE job_row = ?"));
  HONE_RETURN_IF_ERROR(mine_.Prepare(
      connection,
      select + "WHERE state IN ('RUNNING', 'CANCELLING', 'PAUSING') AND owner = ? LIMIT 1"));
  HONE_RETURN_IF_ERROR(change_.Prepare(
      connection,
      "UPDATE job SET state = ?, attempt = attempt + ?, end_reason = ?, end_time = ?, message = ?, "
      "owner = coalesce(?, owner), failures = coalesce(?, failures), "
      "not_before = coalesce(?, not_before), start_time = coalesce(?, start_time), "
      "evaluation = coalesce(?, evaluation), model_id = coalesce(?, model_id), "
      "last_sequence = last_sequence + 1 WHERE row = ? AND state = ? AND attempt = ?"));
  HONE_RETURN_IF_ERROR(append_.Prepare(
      connection,
      "UPDATE job SET last_sequence = last_sequence + ?, progress = ?, latest = ? "
      "WHERE row = ? AND state IN ('RUNNING', 'CANCELLING', 'PAUSING') AND attempt = ?"));
  HONE_RETURN_IF_ERROR(event_.Prepare(connection, "INSERT INTO event VALUES (?, ?, ?)"));
  return model_.Prepare(connection, "INSERT INTO model (id, job_row, payload) VALUES (?, ?, ?)");
}

absl::StatusOr<std::vector<LoggedEvent>> SqliteStore::Commit(absl::FunctionRef<void()> writes) {
  logged_.clear();
  HONE_RETURN_IF_ERROR(Execute(connection_.get(), "BEGIN IMMEDIATE"));
  writes();
  // SQLite may have rolled everything back by itself (disk full); COMMIT then fails and says so.
  const absl::Status committed = Execute(connection_.get(), "COMMIT");
  if (!committed.ok()) {
    Execute(connection_.get(), "ROLLBACK").IgnoreError();
    logged_.clear();
    return committed;
  }
  return std::exchange(logged_, {});
}

absl::Status SqliteStore::Atomically(absl::FunctionRef<absl::Status()> body) {
  const size_t logged = logged_.size();
  HONE_RETURN_IF_ERROR(Execute(connection_.get(), "SAVEPOINT one"));
  absl::Status status = body();
  if (status.ok()) {
    status = Execute(connection_.get(), "RELEASE one");
  }
  if (!status.ok()) {
    logged_.resize(logged);
    Execute(connection_.get(), "ROLLBACK TO one; RELEASE one").IgnoreError();
  }
  return status;
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
    return absl::NotFoundError(absl::StrCat("there is no job jobs/", id));
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
      .Text(change.message);
  BindOptional(change_, change.owner, false);
  const auto bind_number = [&](const std::optional<int64_t>& value) {
    value.has_value() ? change_.Int(*value) : change_.Null();
  };
  bind_number(change.failures);
  bind_number(change.not_before ? std::optional(ToNanos(*change.not_before)) : std::nullopt);
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
  v1::Event event;
  event.mutable_state()->set_state(std::string(jobs::StateName(change.to)));
  event.mutable_state()->set_message(change.message);
  if (ends) {
    event.mutable_state()->set_end_reason(v1::Job::EndReason_Name(change.reason));
  }
  return Log(row, std::move(event), row.job.last_sequence + 1, change.attempt + change.add_attempt,
             now);
}

// What a new job begins with must be there, and stays while the job needs it: see Delete and
// DeleteModel.
absl::Status SqliteStore::CheckOrigins(const NewJob& job) {
  if (!job.retry_of.empty()) {
    HONE_RETURN_IF_ERROR(Load(job.retry_of).status());
  }
  const std::string& model = job.spec.model().pretrained().model();
  if (model.empty()) {
    return absl::OkStatus();
  }
  HONE_ASSIGN_OR_RETURN(const std::string id, jobs::ModelId(model));
  HONE_ASSIGN_OR_RETURN(const bool found, has_model_.Reset().Text(id).Step());
  has_model_.Reset();
  return found ? absl::OkStatus()
               : absl::NotFoundError(
                     absl::StrCat("model.pretrained.model: there is no model ", model));
}

absl::StatusOr<jobs::Job> SqliteStore::Insert(const NewJob& job, absl::Time now) {
  const std::string spec = Serialize(job.spec);
  if (!job.request_id.empty()) {
    absl::StatusOr<JobRow> known = LoadBy(load_request_.Reset().Text(job.request_id));
    if (known.ok() && (Serialize(known->job.spec) != spec ||
                       (!known->job.request.empty() && known->job.request != job.request))) {
      return absl::AlreadyExistsError(absl::StrCat("request_id: \"", job.request_id,
                                                   "\" made jobs/", known->job.id,
                                                   " from another request"));
    }
    if (!absl::IsNotFound(known.status())) {
      HONE_RETURN_IF_ERROR(known.status());
      return std::move(known->job);
    }
  }
  HONE_RETURN_IF_ERROR(CheckOrigins(job));
  const absl::Status inserted = Atomically([&]() -> absl::Status {
    insert_.Reset().Text(job.id);
    job.request_id.empty() ? insert_.Null() : insert_.Text(job.request_id);
    HONE_RETURN_IF_ERROR(insert_.Text(jobs::TaskName(job.spec))
                             .Blob(spec)
                             .Blob(Serialize(job.plan))
                             .Int(job.threads)
                             .Int(job.spec.priority())
                             .Int(ToNanos(jobs::Deadline(job.spec, now)))
                             .Text(job.retry_of)
                             .Int(ToNanos(now))
                             .Text(job.request)
                             .Run());
    HONE_ASSIGN_OR_RETURN(const JobRow row, Load(job.id));
    for (const auto& [key, value] : job.spec.labels()) {
      HONE_RETURN_IF_ERROR(label_.Reset().Int(row.row).Text(absl::StrCat(key, "=", value)).Run());
    }
    v1::Event event;
    event.mutable_state()->set_state(std::string(jobs::StateName(JobState::kQueued)));
    return Log(row, std::move(event), 1, 0, now);
  });
  HONE_RETURN_IF_ERROR(inserted);
  HONE_ASSIGN_OR_RETURN(JobRow row, Load(job.id));
  return std::move(row.job);
}

absl::StatusOr<std::optional<jobs::Job>> SqliteStore::Claim(int threads, absl::Time now) {
  const absl::StatusOr<JobRow> row =
      LoadBy(next_.Reset().Int(ToNanos(now) + 1).Int(ToNanos(now + kLongestDelay)));
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
                  .owner = generation_,
                  .start_time = now},
                 now);
  }));
  HONE_ASSIGN_OR_RETURN(JobRow claimed, Load(row->job.id));
  return std::move(claimed.job);
}

absl::Status SqliteStore::Append(const std::string& id, int attempt, const Report& report,
                                 absl::Time now) {
  return Atomically([&]() -> absl::Status {
    HONE_ASSIGN_OR_RETURN(const JobRow row, Load(id));
    HONE_RETURN_IF_ERROR(append_.Reset()
                             .Int(static_cast<int64_t>(report.events.size()))
                             .Blob(Serialize(report.progress))
                             .Blob(Serialize(report.latest))
                             .Int(row.row)
                             .Int(attempt)
                             .Run());
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
    if (ending.evaluation.ByteSizeLong() > 0) {
      change.evaluation = Serialize(ending.evaluation);
    }
    if (ending.model.has_value()) {
      HONE_ASSIGN_OR_RETURN(const std::string model_id, jobs::ModelId(ending.model->name()));
      change.model_id = model_id;
      HONE_RETURN_IF_ERROR(
          model_.Reset().Text(model_id).Int(row.row).Blob(Serialize(*ending.model)).Run());
    }
    if (!jobs::HasWorker(row.job.state)) {
      return absl::AbortedError(absl::StrCat("job ", id, " does not run in attempt ", attempt,
                                             ": it is ", jobs::StateName(row.job.state)));
    }
    return Apply(row, change, now);
  });
}

absl::Status SqliteStore::Requeue(const std::string& id, int attempt, const Requeueing& how,
                                  absl::Time now) {
  return Atomically([&]() -> absl::Status {
    HONE_ASSIGN_OR_RETURN(const JobRow row, Load(id));
    const int before = how.checkpointed ? 0 : row.job.failures;
    return Apply(row,
                 {.from = JobState::kRunning,
                  .attempt = attempt,
                  .to = JobState::kQueued,
                  .message = how.message,
                  .owner = "",
                  .failures = before + (how.charged ? 1 : 0),
                  .not_before = now + how.delay},
                 now);
  });
}

absl::StatusOr<jobs::Job> SqliteStore::Move(
    const std::string& id, absl::string_view wish, const std::string& message,
    absl::FunctionRef<std::optional<JobState>(JobState)> next, absl::Time now) {
  HONE_ASSIGN_OR_RETURN(const JobRow row, Load(id));
  const JobState state = row.job.state;
  const std::optional<JobState> to = next(state);
  if (!to.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("jobs/", id, jobs::IsEnd(state) ? " has ended: it is " : " is ",
                     jobs::StateName(state), " and cannot be ", wish));
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

absl::Status SqliteStore::Delete(const std::string& id) {
  return Atomically([&]() -> absl::Status {
    HONE_ASSIGN_OR_RETURN(const JobRow row, Load(id));
    const JobState state = row.job.state;
    if (!jobs::IsEnd(state) && state != JobState::kPaused) {
      return absl::FailedPreconditionError(absl::StrCat("jobs/", id, " is ", jobs::StateName(state),
                                                        " and may still run; cancel it first"));
    }
    HONE_ASSIGN_OR_RETURN(const bool needed, retry_.Reset().Text(id).Step());
    if (needed) {
      const std::string by =
          absl::StrCat("jobs/", retry_.ColumnBytes(0), ", which is ", retry_.ColumnBytes(1));
      retry_.Reset();
      return absl::FailedPreconditionError(
          absl::StrCat("jobs/", id, " is needed by ", by, " and goes on from its checkpoints"));
    }
    HONE_RETURN_IF_ERROR(delete_.Reset().Int(row.row).Text(jobs::StateName(state)).Run());
    HONE_RETURN_IF_ERROR(delete_labels_.Reset().Int(row.row).Run());
    return to_garbage_.Reset().Int(row.row).Run();
  });
}

absl::StatusOr<std::vector<std::string>> SqliteStore::DeleteEnded(absl::Time before, int limit) {
  std::vector<std::string> ids;
  ended_.Reset().Int(ToNanos(before)).Int(limit);
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, ended_.Step());
    if (!found) {
      break;
    }
    ids.emplace_back(ended_.ColumnBytes(0));
  }
  for (const std::string& id : ids) {
    HONE_RETURN_IF_ERROR(Delete(id));
  }
  return ids;
}

absl::Status SqliteStore::CheckNobodyBeginsWith(const std::string& model_id) {
  const std::string name = jobs::ModelName(model_id);
  beginner_.Reset().Blob(name);
  absl::Status status;
  while (status.ok()) {
    HONE_ASSIGN_OR_RETURN(const bool found, beginner_.Step());
    if (!found) {
      break;
    }
    const absl::string_view bytes = beginner_.ColumnBytes(2);
    v1::JobSpec spec;
    if (spec.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) &&
        spec.model().pretrained().model() == name) {
      status = absl::FailedPreconditionError(
          absl::StrCat(name, " is what jobs/", beginner_.ColumnBytes(0), " begins with, which is ",
                       beginner_.ColumnBytes(1), "; cancel the job first"));
    }
  }
  beginner_.Reset();
  return status;
}

absl::Status SqliteStore::DeleteModel(const std::string& id) {
  return Atomically([&]() -> absl::Status {
    HONE_RETURN_IF_ERROR(CheckNobodyBeginsWith(id));
    HONE_RETURN_IF_ERROR(delete_model_.Reset().Text(id).Run());
    if (sqlite3_changes(connection_.get()) != 1) {
      return absl::NotFoundError(absl::StrCat("there is no model models/", id));
    }
    // A model has its job's id.
    return without_model_.Reset().Text(id).Run();
  });
}

absl::StatusOr<int> SqliteStore::RemoveGarbage(int events) {
  HONE_ASSIGN_OR_RETURN(const bool found, garbage_.Reset().Step());
  if (!found) {
    return 0;
  }
  const int64_t row = garbage_.ColumnInt(0);
  garbage_.Reset();
  int removed = 0;
  const absl::Status status = Atomically([&]() -> absl::Status {
    HONE_RETURN_IF_ERROR(delete_events_.Reset().Int(row).Int(events).Run());
    removed = sqlite3_changes(connection_.get());
    return removed < events ? clean_.Reset().Int(row).Run() : absl::OkStatus();
  });
  HONE_RETURN_IF_ERROR(status);
  return std::max(removed, 1);
}

absl::StatusOr<int> SqliteStore::FailOverdue(absl::Time now) {
  for (int failed = 0;; ++failed) {
    const absl::StatusOr<JobRow> row = LoadBy(overdue_.Reset().Int(ToNanos(now)));
    if (absl::IsNotFound(row.status())) {
      return failed;
    }
    HONE_RETURN_IF_ERROR(row.status());
    HONE_RETURN_IF_ERROR(Atomically([&] {
      return Apply(*row,
                   {.from = JobState::kQueued,
                    .attempt = row->job.attempt,
                    .to = JobState::kFailed,
                    .reason = v1::Job::DEADLINE,
                    .message = absl::StrCat("deadline_seconds: ", row->job.spec.deadline_seconds(),
                                            " seconds were over while it waited")},
                   now);
    }));
  }
}

absl::StatusOr<int> SqliteStore::Recover(absl::Time now) {
  for (int recovered = 0;; ++recovered) {
    const absl::StatusOr<JobRow> row = LoadBy(mine_.Reset().Text(generation_));
    if (absl::IsNotFound(row.status())) {
      return recovered;
    }
    HONE_RETURN_IF_ERROR(row.status());
    Change change{.from = row->job.state, .attempt = row->job.attempt, .to = JobState::kQueued};
    change.message = "the server was started again";
    if (row->job.state == JobState::kCancelling) {
      change.to = JobState::kCancelled;
      change.reason = v1::Job::USER;
    } else if (row->job.state == JobState::kPausing) {
      change.to = JobState::kPaused;
    }
    change.owner = "";
    HONE_RETURN_IF_ERROR(Atomically([&] { return Apply(*row, change, now); }));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<JobStore>> OpenSqliteStore(const std::string& path) {
  auto store = std::make_unique<SqliteStore>();
  HONE_RETURN_IF_ERROR(Annotate(store->Open(path), absl::StrCat("store ", path)));
  return store;
}

}  // namespace hone::server::store
