#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

namespace hone::server::store {

// The connections that are opened while it lives, in order; one of them lives at a time.
class OpenedConnections {
 public:
  OpenedConnections() { sqlite3_auto_extension(reinterpret_cast<void (*)()>(&Add)); }
  ~OpenedConnections() {
    sqlite3_reset_auto_extension();
    all_.clear();
  }
  OpenedConnections(const OpenedConnections&) = delete;
  OpenedConnections& operator=(const OpenedConnections&) = delete;

  // The first that a store opens.
  sqlite3* writer() const { return all_.at(0); }

  // From now on statements with that text stand where they begin, on any of the connections.
  void Hold(const std::string& text) {
    const std::lock_guard lock(mutex_);
    held_ = text;
  }
  // Until so many stand.
  void AwaitHeld(int statements) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return standing_ >= statements; });
  }
  void LetGo() {
    const std::lock_guard lock(mutex_);
    held_.clear();
    changed_.notify_all();
  }

 private:
  static int Add(sqlite3* connection, const char**, const void*) {
    all_.push_back(connection);
    sqlite3_trace_v2(connection, SQLITE_TRACE_STMT, &OnStatement, nullptr);
    return SQLITE_OK;
  }
  static int OnStatement(unsigned, void*, void*, void* sql) {
    std::unique_lock lock(mutex_);
    if (held_.empty() || std::string(static_cast<const char*>(sql)).find(held_) == held_.npos) {
      return 0;
    }
    ++standing_;
    changed_.notify_all();
    changed_.wait(lock, [] { return held_.empty(); });
    --standing_;
    return 0;
  }

  static inline std::vector<sqlite3*> all_;
  static inline std::mutex mutex_;  // guards all below
  static inline std::condition_variable changed_;
  static inline std::string held_;  // empty: none
  static inline int standing_ = 0;
};

// A second connection to a store's file.
class OtherConnection {
 public:
  explicit OtherConnection(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &connection_), SQLITE_OK);
    sqlite3_busy_timeout(connection_, 60'000);
  }
  ~OtherConnection() { sqlite3_close(connection_); }
  OtherConnection(const OtherConnection&) = delete;
  OtherConnection& operator=(const OtherConnection&) = delete;

  void Run(const std::string& sql) {
    EXPECT_EQ(sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(connection_);
  }
  // From now on that fails as nothing that the store knows; until `DROP TRIGGER fault`. `when`: as
  // in "UPDATE OF state ON job WHEN NEW.state = 'FAILED'".
  void Break(const std::string& when) {
    Run("CREATE TRIGGER fault BEFORE " + when + " BEGIN SELECT abs(-9223372036854775807 - 1); END");
  }

 private:
  sqlite3* connection_ = nullptr;
};

}  // namespace hone::server::store
