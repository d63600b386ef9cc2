#include "server/store/sqlite_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/store/schema.h"
#include "server/store/sqlite_datasets.h"
#include "server/store/sqlite_job_store.h"

namespace hone::server::store {
namespace {

constexpr int kSchemaVersion = static_cast<int>(kMigrations.size());

absl::StatusOr<int64_t> VersionOf(sqlite3* connection) {
  Statement version;
  HONE_RETURN_IF_ERROR(version.Prepare(connection, "PRAGMA user_version"));
  HONE_RETURN_IF_ERROR(version.Step().status());
  return version.ColumnInt(0);
}

}  // namespace

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
  HONE_ASSIGN_OR_RETURN(const int64_t found, VersionOf(connection_.get()));
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
      "state, create_time, expected_ms, request, last_sequence) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'QUEUED', ?, ?, ?, 1)"));
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
      select + "WHERE state IN ('RUNNING', 'CANCELLING', 'PAUSING') AND (owner = ? OR lease < ?) "
               "LIMIT 1"));
  HONE_RETURN_IF_ERROR(renew_.Prepare(connection,
                                      "UPDATE job SET lease = ? WHERE state IN "
                                      "('RUNNING', 'CANCELLING', 'PAUSING') AND owner = ?"));
  HONE_RETURN_IF_ERROR(change_.Prepare(
      connection,
      "UPDATE job SET state = ?, attempt = attempt + ?, end_reason = ?, end_time = ?, message = ?, "
      "owner = coalesce(?, owner), failures = coalesce(?, failures), "
      "retries = coalesce(?, retries), not_before = coalesce(?, not_before), lease = coalesce(?, "
      "lease), start_time = coalesce(?, start_time), "
      "evaluation = coalesce(?, evaluation), model_id = coalesce(?, model_id), "
      "last_sequence = last_sequence + 1 WHERE row = ? AND state = ? AND attempt = ?"));
  HONE_RETURN_IF_ERROR(append_.Prepare(
      connection,
      "UPDATE job SET last_sequence = last_sequence + ?, progress = ?, latest = ? "
      "WHERE row = ? AND state IN ('RUNNING', 'CANCELLING', 'PAUSING') AND attempt = ?"));
  HONE_RETURN_IF_ERROR(event_.Prepare(connection, "INSERT INTO event VALUES (?, ?, ?)"));
  HONE_RETURN_IF_ERROR(
      model_.Prepare(connection,
                     "INSERT INTO model (id, job_row, payload, display_name, bytes, create_time) "
                     "VALUES (?, ?, ?, ?, ?, ?)"));
  return PrepareLimits();
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

absl::StatusOr<std::unique_ptr<JobStore>> OpenSqliteStore(const std::string& path,
                                                          const std::string& owner) {
  auto store = std::make_unique<SqliteStore>(owner);
  HONE_RETURN_IF_ERROR(Annotate(store->Open(path), absl::StrCat("store ", path)));
  return store;
}

absl::Status CheckSqliteVersion(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(const Connection connection, OpenReader(path));
  HONE_ASSIGN_OR_RETURN(const int64_t found, VersionOf(connection.get()));
  return found >= kSchemaVersion
             ? absl::OkStatus()
             : absl::FailedPreconditionError(
                   absl::StrCat(path, ": an older version wrote it (schema ", found, ", now ",
                                kSchemaVersion, "); start honed once, which brings it up to date"));
}

}  // namespace hone::server::store
