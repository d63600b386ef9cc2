#include "server/store/sqlite.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"

namespace hone::server::store {

absl::Status SqliteStatus(int code, absl::string_view context, absl::string_view message) {
  const std::string text = absl::StrCat(context, ": ", message);
  switch (code & 0xff) {
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(text);
    case SQLITE_CONSTRAINT:
      return absl::FailedPreconditionError(text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
      return absl::UnavailableError(text);
    case SQLITE_INTERRUPT:
      return absl::DeadlineExceededError("the store takes too long to find this; ask for less");
    default:
      return absl::InternalError(text);
  }
}

absl::Status Statement::Prepare(sqlite3* connection, absl::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(connection, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  handle_.reset(statement);
  return code == SQLITE_OK
             ? absl::OkStatus()
             : SqliteStatus(code, absl::StrCat("prepare ", sql), sqlite3_errmsg(connection));
}

Statement& Statement::Reset() {
  sqlite3_reset(handle_.get());
  sqlite3_clear_bindings(handle_.get());
  next_ = 1;
  return *this;
}

Statement& Statement::Int(int64_t value) {
  sqlite3_bind_int64(handle_.get(), next_++, value);
  return *this;
}

Statement& Statement::Text(absl::string_view value) {
  sqlite3_bind_text64(handle_.get(), next_++, value.data(), value.size(), SQLITE_TRANSIENT,
                      SQLITE_UTF8);
  return *this;
}

Statement& Statement::Blob(absl::string_view value) {
  // A null pointer would bind NULL.
  sqlite3_bind_blob64(handle_.get(), next_++, value.empty() ? "" : value.data(), value.size(),
                      SQLITE_TRANSIENT);
  return *this;
}

Statement& Statement::Real(double value) {
  sqlite3_bind_double(handle_.get(), next_++, value);
  return *this;
}

Statement& Statement::Null() {
  sqlite3_bind_null(handle_.get(), next_++);
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) {
    return true;
  }
  sqlite3* const connection = sqlite3_db_handle(handle_.get());
  const absl::Status status = code == SQLITE_DONE
                                  ? absl::OkStatus()
                                  : SqliteStatus(code, "store", sqlite3_errmsg(connection));
  sqlite3_reset(handle_.get());
  if (!status.ok()) {
    return status;
  }
  return false;
}

absl::Status Statement::Run() {
  for (;;) {
    HONE_ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) {
      return absl::OkStatus();
    }
  }
}

absl::string_view Statement::ColumnBytes(int column) const {
  const void* const bytes = sqlite3_column_blob(handle_.get(), column);
  const int size = sqlite3_column_bytes(handle_.get(), column);
  return bytes == nullptr
             ? absl::string_view()
             : absl::string_view(static_cast<const char*>(bytes), static_cast<size_t>(size));
}

absl::Status Execute(sqlite3* connection, const std::string& sql) {
  const int code = sqlite3_exec(connection, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus()
                           : SqliteStatus(code, "store", sqlite3_errmsg(connection));
}

namespace {

// Of SQLite's machine, between looks at the time: some microseconds.
constexpr int kStepsBetweenLooks = 1000;

absl::StatusOr<Connection> Open(const std::string& path, int flags) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  Connection connection(raw);
  if (code != SQLITE_OK) {
    return SqliteStatus(code, absl::StrCat("cannot open ", path),
                        raw == nullptr ? "out of memory" : sqlite3_errmsg(raw));
  }
  sqlite3_busy_timeout(raw, 5000);
  return connection;
}

}  // namespace

absl::StatusOr<Connection> OpenWriter(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(Connection connection,
                        Open(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE));
  HONE_RETURN_IF_ERROR(Execute(connection.get(),
                               "PRAGMA journal_mode = WAL;"
                               "PRAGMA synchronous = FULL;"
                               "PRAGMA foreign_keys = ON;"));
  return connection;
}

absl::StatusOr<Connection> OpenReader(const std::string& path) {
  HONE_ASSIGN_OR_RETURN(Connection connection, Open(path, SQLITE_OPEN_READWRITE));
  sqlite3_db_config(connection.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  HONE_RETURN_IF_ERROR(
      Execute(connection.get(), "PRAGMA wal_autocheckpoint = 0; PRAGMA query_only = ON;"));
  return connection;
}

absl::Status TimedConnection::Open(const std::string& path, absl::Duration most_time) {
  most_time_ = most_time;
  HONE_ASSIGN_OR_RETURN(connection_, OpenReader(path));
  sqlite3_progress_handler(
      connection_.get(), kStepsBetweenLooks,
      [](void* self) {
        return SteadyNow() > static_cast<const TimedConnection*>(self)->until_ ? 1 : 0;
      },
      this);
  return absl::OkStatus();
}

void TimedConnection::BeginCall() { until_ = SteadyNow() + most_time_; }

}  // namespace hone::server::store
