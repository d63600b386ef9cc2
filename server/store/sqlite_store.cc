#include "server/store/sqlite_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/store/schema.h"
#include "server/store/sqlite_datasets.h"
#include "server/store/sqlite_functions.h"
#include "server/store/sqlite_job_store.h"
#include "server/store/sqlite_projects.h"
#include "server/store/sqlite_sweeps.h"
#include "server/store/sqlite_tokens.h"

namespace hone::server::store {
namespace {

constexpr int kSchemaVersion = static_cast<int>(kMigrations.size());
// Calls of gRPC's threads, of watchers and of histories at a time.
constexpr int kReaders = 4;
// Lists at a time, and who counts for the metrics.
constexpr int kListReaders = 3;

absl::StatusOr<int64_t> VersionOf(sqlite3* connection) {
  Statement version;
  HONE_RETURN_IF_ERROR(version.Prepare(connection, "PRAGMA user_version"));
  HONE_RETURN_IF_ERROR(version.Step().status());
  return version.ColumnInt(0);
}

}  // namespace

absl::Status SqliteStore::Open(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(connection_, OpenWriter(path));
  RefuseRestOfBrokenBatch();
  HONE_RETURN_IF_ERROR(RegisterFunctions(connection_.get()));
  HONE_RETURN_IF_ERROR(Migrate());
  HONE_RETURN_IF_ERROR(CheckTables());
  HONE_RETURN_IF_ERROR(PrepareJobs());
  HONE_RETURN_IF_ERROR(PrepareQueue());
  HONE_RETURN_IF_ERROR(PrepareRemoval());
  HONE_RETURN_IF_ERROR(PrepareUpdates());
  HONE_ASSIGN_OR_RETURN(readers_, ReaderPool<SqliteReader>::Open(path, kReaders));
  HONE_ASSIGN_OR_RETURN(lists_, ReaderPool<SqliteLists>::Open(path, kListReaders));
  HONE_ASSIGN_OR_RETURN(projects_, OpenSqliteProjects(connection_.get(), path));
  HONE_ASSIGN_OR_RETURN(datasets_, OpenSqliteDatasets(connection_.get(), *projects_, path));
  HONE_ASSIGN_OR_RETURN(sweeps_, OpenSqliteSweeps(connection_.get(), *projects_, path));
  HONE_ASSIGN_OR_RETURN(tokens_, OpenSqliteTokens(connection_.get(), path));
  return absl::OkStatus();
}

// All but the history of events, so that opening takes no longer the more was ever trained. An
// event that is damaged is found when it is read, and all of them by `PRAGMA integrity_check`.
absl::Status SqliteStore::CheckTables() {
  for (const char* table :
       {"meta", "job", "job_label", "garbage", "model", "dataset", "dataset_use", "upload",
        "removal", "validation", "sweep", "sweep_trial", "token", "project"}) {
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

absl::Status SqliteStore::Prepare(
    std::initializer_list<std::pair<Statement*, std::string>> statements) {
  for (const auto& [statement, sql] : statements) {
    HONE_RETURN_IF_ERROR(statement->Prepare(connection_.get(), sql));
  }
  return absl::OkStatus();
}

// SQLite rolls a whole transaction back by itself where the disk or the memory fails. What the
// batch would still write would then be committed statement by statement: the hooks refuse that.
void SqliteStore::RefuseRestOfBrokenBatch() {
  sqlite3_rollback_hook(
      connection_.get(),
      [](void* store) {
        auto* const self = static_cast<SqliteStore*>(store);
        self->broken_ = self->in_batch_;
      },
      this);
  sqlite3_commit_hook(
      connection_.get(),
      [](void* store) { return static_cast<SqliteStore*>(store)->broken_ ? 1 : 0; }, this);
}

absl::StatusOr<std::vector<LoggedEvent>> SqliteStore::Commit(absl::FunctionRef<void()> writes) {
  logged_.clear();
  HONE_RETURN_IF_ERROR(Execute(connection_.get(), "BEGIN IMMEDIATE"));
  in_batch_ = true;
  why_broken_ = absl::UnavailableError("store: a write failed, and all that came with it");
  writes();
  in_batch_ = false;
  const absl::Status committed = broken_ ? why_broken_ : Execute(connection_.get(), "COMMIT");
  broken_ = false;
  if (!committed.ok()) {
    Execute(connection_.get(), "ROLLBACK").IgnoreError();
    logged_.clear();
    return committed;
  }
  return std::exchange(logged_, {});
}

absl::Status SqliteStore::Atomically(absl::FunctionRef<absl::Status()> body) {
  if (broken_) {
    return why_broken_;
  }
  const size_t logged = logged_.size();
  HONE_RETURN_IF_ERROR(Execute(connection_.get(), "SAVEPOINT one"));
  absl::Status status = body();
  if (status.ok()) {
    status = Execute(connection_.get(), "RELEASE one");
  }
  if (broken_) {
    why_broken_ = status;
  } else if (!status.ok()) {
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
