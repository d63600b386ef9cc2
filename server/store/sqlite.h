#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace hone::server::store {

// SQLite's result as a status: no space is RESOURCE_EXHAUSTED, a damaged file DATA_LOSS, a broken
// constraint FAILED_PRECONDITION, busy UNAVAILABLE, interrupted DEADLINE_EXCEEDED, else INTERNAL.
absl::Status SqliteStatus(int code, absl::string_view context, absl::string_view message);

// A prepared statement, used again and again: bind in order and step. One that stands on a row
// holds its connection's view of the database; Standing lets it go.
class Statement {
 public:
  Statement() = default;
  absl::Status Prepare(sqlite3* connection, absl::string_view sql);

  // Starts anew: parameters are bound one after another.
  Statement& Reset();
  Statement& Int(int64_t value);
  Statement& Real(double value);
  Statement& Text(absl::string_view value);
  Statement& Blob(absl::string_view value);
  Statement& Null();

  // True: there is a row. False: done. After an error or false the statement is reset.
  absl::StatusOr<bool> Step();
  // For statements without rows.
  absl::Status Run();

  int64_t ColumnInt(int column) const { return sqlite3_column_int64(handle_.get(), column); }
  double ColumnReal(int column) const { return sqlite3_column_double(handle_.get(), column); }
  bool IsNull(int column) const {
    return sqlite3_column_type(handle_.get(), column) == SQLITE_NULL;
  }
  // Valid until the next Step or Reset.
  absl::string_view ColumnBytes(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
  int next_ = 1;
};

// Resets a statement at the end of its scope, however that is left.
class Standing {
 public:
  explicit Standing(Statement& statement) : statement_(statement) {}
  ~Standing() { statement_.Reset(); }
  Standing(const Standing&) = delete;
  Standing& operator=(const Standing&) = delete;

 private:
  Statement& statement_;
};

struct CloseConnection {
  void operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }
};
using Connection = std::unique_ptr<sqlite3, CloseConnection>;

// Opens a database file. The writer makes it if it is not there, and sets write-ahead logging with
// a sync at every commit; a reader sees it as of its last commit and never checkpoints.
absl::StatusOr<Connection> OpenWriter(const std::string& path);
absl::StatusOr<Connection> OpenReader(const std::string& path);

absl::Status Execute(sqlite3* connection, const std::string& sql);

// A reader's connection, on which SQLite gives up what takes too long. For one thread at a time.
class TimedConnection {
 public:
  // What one call may take before it is DEADLINE_EXCEEDED: others may wait for the connection.
  static constexpr absl::Duration kMostTime = absl::Seconds(5);

  TimedConnection() = default;
  TimedConnection(const TimedConnection&) = delete;
  TimedConnection& operator=(const TimedConnection&) = delete;

  absl::Status Open(const std::string& path, absl::Duration most_time);
  // At the beginning of each call: its time begins. Without it there is no limit.
  void BeginCall();
  void BeginCallWithoutLimit() { until_ = absl::InfiniteDuration(); }
  sqlite3* get() const { return connection_.get(); }

 private:
  absl::Duration most_time_;
  absl::Duration until_ = absl::InfiniteDuration();  // SteadyNow()
  Connection connection_;
};

}  // namespace hone::server::store
