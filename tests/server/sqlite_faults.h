#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

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

 private:
  static int Add(sqlite3* connection, const char**, const void*) {
    all_.push_back(connection);
    return SQLITE_OK;
  }
  static inline std::vector<sqlite3*> all_;
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
