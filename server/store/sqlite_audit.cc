#include "server/store/sqlite_audit.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "server/store/sqlite_rows.h"

namespace hone::server::store {
namespace {

constexpr size_t kMostAuditText = 256;

class SqliteAudit final : public AuditStore {
 public:
  absl::Status Open(sqlite3* writer, const std::string& path) {
    writer_ = writer;
    HONE_RETURN_IF_ERROR(insert_.Prepare(
        writer,
        "INSERT INTO audit (time, caller, role, project, peer, rpc, resource, request_id, code) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"));
    HONE_RETURN_IF_ERROR(remove_old_.Prepare(
        writer,
        "DELETE FROM audit WHERE row IN (SELECT row FROM audit WHERE time < ? ORDER BY time "
        "LIMIT ?)"));
    // Rows rise and only the oldest go, so that the newest ones are told by their numbers.
    HONE_RETURN_IF_ERROR(remove_excess_.Prepare(
        writer,
        "DELETE FROM audit WHERE row IN (SELECT row FROM audit WHERE row <= (SELECT max(row) FROM "
        "audit) - ? ORDER BY row LIMIT ?)"));
    HONE_ASSIGN_OR_RETURN(reader_, OpenReader(path));
    for (int with_caller = 0; with_caller < 2; ++with_caller) {
      for (int with_resource = 0; with_resource < 2; ++with_resource) {
        HONE_RETURN_IF_ERROR(list_[2 * with_caller + with_resource].Prepare(
            reader_.get(),
            absl::StrCat("SELECT row, time, caller, role, project, peer, rpc, resource, "
                         "request_id, code FROM audit WHERE row < ?1 AND time >= ?2 ",
                         with_caller != 0 ? "AND caller = ?4 " : "AND ?4 = '' ",
                         with_resource != 0 ? "AND resource = ?5 " : "AND ?5 = '' ",
                         "ORDER BY row DESC LIMIT ?3")));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Insert(const AuditEntry& entry) override {
    insert_.Reset().Int(ToNanos(entry.time));
    for (const std::string* const text :
         {&entry.caller, &entry.role, &entry.project, &entry.peer, &entry.rpc, &entry.resource,
          &entry.request_id, &entry.code}) {
      insert_.Text(CutUtf8(*text, kMostAuditText));
    }
    return insert_.Run();
  }

  absl::StatusOr<int> Remove(absl::Time before, int64_t at_most, int limit) override {
    int removed = 0;
    if (before != absl::InfinitePast()) {
      HONE_RETURN_IF_ERROR(remove_old_.Reset().Int(ToNanos(before)).Int(limit).Run());
      removed = sqlite3_changes(writer_);
    }
    if (removed < limit && at_most > 0) {
      HONE_RETURN_IF_ERROR(remove_excess_.Reset().Int(at_most).Int(limit - removed).Run());
      removed += sqlite3_changes(writer_);
    }
    return removed;
  }

  absl::StatusOr<Page<AuditEntry>> List(const ListAudit& what) const override {
    const std::lock_guard lock(mutex_);
    Statement& list = list_[(what.caller.empty() ? 0 : 2) + (what.resource.empty() ? 0 : 1)];
    const Standing standing(list);
    list.Reset()
        .Int(what.before_row == 0 ? std::numeric_limits<int64_t>::max() : what.before_row)
        .Int(what.since == absl::InfinitePast() ? 0 : ToNanos(what.since))
        .Int(what.limit)
        .Text(what.caller)
        .Text(what.resource);
    Page<AuditEntry> page;
    for (;;) {
      HONE_ASSIGN_OR_RETURN(const bool found, list.Step());
      if (!found) {
        page.next_row = static_cast<int>(page.items.size()) < what.limit || page.items.empty()
                            ? 0
                            : page.items.back().row;
        return page;
      }
      AuditEntry& entry = page.items.emplace_back();
      entry.row = list.ColumnInt(0);
      entry.time = FromNanos(list.ColumnInt(1));
      int column = 2;
      for (std::string* const text :
           {&entry.caller, &entry.role, &entry.project, &entry.peer, &entry.rpc, &entry.resource,
            &entry.request_id, &entry.code}) {
        *text = std::string(list.ColumnBytes(column++));
      }
    }
  }

 private:
  sqlite3* writer_ = nullptr;
  Statement insert_, remove_old_, remove_excess_;

  mutable std::mutex mutex_;  // guards all below
  Connection reader_;
  mutable Statement list_[4];  // by whether caller and resource are asked for
};

}  // namespace

absl::StatusOr<std::unique_ptr<AuditStore>> OpenSqliteAudit(sqlite3* writer,
                                                            const std::string& path) {
  auto audit = std::make_unique<SqliteAudit>();
  HONE_RETURN_IF_ERROR(audit->Open(writer, path));
  return audit;
}

}  // namespace hone::server::store
