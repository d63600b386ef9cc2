#include "server/store/snapshot.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "server/store/sqlite_store.h"

namespace hone::server::store {
namespace {

// Of the copy, between looks at whether to go on: a megabyte.
constexpr int kPagesAtOnce = 256;

absl::Status EachRow(sqlite3* connection, absl::string_view sql,
                     absl::FunctionRef<absl::Status(const Statement&)> one) {
  Statement statement;
  HONE_RETURN_IF_ERROR(statement.Prepare(connection, sql));
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool found, statement.Step());
    if (!found) {
      return absl::OkStatus();
    }
    HONE_RETURN_IF_ERROR(one(statement));
  }
}

absl::Status EachId(sqlite3* connection, absl::string_view sql,
                    absl::FunctionRef<absl::Status(const std::string&)> one) {
  return EachRow(connection, sql, [&](const Statement& statement) {
    return one(std::string(statement.ColumnBytes(0)));
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Snapshot>> Snapshot::Take(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(Connection connection, OpenReader(path));
  // The view of the database begins with the first read.
  HONE_RETURN_IF_ERROR(Execute(connection.get(), "BEGIN; SELECT count(*) FROM meta"));
  return std::unique_ptr<Snapshot>(new Snapshot(std::move(connection)));
}

absl::Status Snapshot::EachJob(absl::FunctionRef<absl::Status(const std::string&)> one) const {
  return EachId(connection_.get(), "SELECT id FROM job", one);
}

absl::Status Snapshot::EachModel(absl::FunctionRef<absl::Status(const std::string&)> one) const {
  return EachId(connection_.get(), "SELECT id FROM model", one);
}

absl::Status Snapshot::EachDataset(absl::FunctionRef<absl::Status(const DatasetBytes&)> one) const {
  return EachRow(connection_.get(), "SELECT DISTINCT format, bytes, sha256 FROM dataset",
                 [&](const Statement& row) {
                   return one({.format = static_cast<v1::Dataset::Format>(row.ColumnInt(0)),
                               .bytes = row.ColumnInt(1),
                               .sha256 = std::string(row.ColumnBytes(2))});
                 });
}

absl::StatusOr<int64_t> Snapshot::Bytes() const {
  int64_t bytes = 0;
  HONE_RETURN_IF_ERROR(EachRow(connection_.get(),
                               "SELECT page_count * page_size FROM pragma_page_count, "
                               "pragma_page_size",
                               [&](const Statement& row) {
                                 bytes = row.ColumnInt(0);
                                 return absl::OkStatus();
                               }));
  return bytes;
}

absl::Status Snapshot::CopyTo(const std::string& to,
                              absl::FunctionRef<absl::Status()> go_on) const {
  HONE_ASSIGN_OR_RETURN(const Connection copy, OpenCopy(to));
  sqlite3_backup* const backup = sqlite3_backup_init(copy.get(), "main", connection_.get(), "main");
  if (backup == nullptr) {
    return SqliteStatus(sqlite3_errcode(copy.get()), absl::StrCat("cannot write ", to),
                        sqlite3_errmsg(copy.get()));
  }
  absl::Status status;
  int code = SQLITE_OK;
  while (status.ok() && code == SQLITE_OK) {
    code = sqlite3_backup_step(backup, kPagesAtOnce);
    status = go_on();
  }
  sqlite3_backup_finish(backup);
  HONE_RETURN_IF_ERROR(status);
  if (code != SQLITE_DONE) {
    return SqliteStatus(code, absl::StrCat("cannot copy the store to ", to), sqlite3_errstr(code));
  }
  // One file, and not one with a log beside it.
  return Execute(copy.get(), "PRAGMA journal_mode = DELETE");
}

absl::Status BeginGeneration(const std::string& path) {
  HONE_RETURN_IF_ERROR(OpenSqliteStore(path).status());
  HONE_ASSIGN_OR_RETURN(const Connection connection, OpenWriter(path));
  return Execute(connection.get(), absl::StrCat("UPDATE meta SET value = '", jobs::NewId(),
                                                "' WHERE key = 'generation'"));
}

}  // namespace hone::server::store
