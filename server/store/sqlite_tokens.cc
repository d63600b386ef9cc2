#include "server/store/sqlite_tokens.h"

#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"
#include "server/jobs/reason.h"
#include "server/jobs/validate.h"
#include "server/store/sqlite_rows.h"

namespace hone::server::store {
namespace {

constexpr char kTokenPrefix[] = "tokens/";
constexpr char kTokenColumns[] =
    "SELECT id, hash, role, project, create_time, expire_time, revoke_time, use_time FROM token ";

absl::Time TimeOr(const Statement& statement, int column, absl::Time otherwise) {
  return statement.IsNull(column) ? otherwise : FromNanos(statement.ColumnInt(column));
}

Token ReadTokenRow(const Statement& statement) {
  return {.id = std::string(statement.ColumnBytes(0)),
          .hash = std::string(statement.ColumnBytes(1)),
          .role = std::string(statement.ColumnBytes(2)),
          .project = std::string(statement.ColumnBytes(3)),
          .created = FromNanos(statement.ColumnInt(4)),
          .expires = TimeOr(statement, 5, absl::InfiniteFuture()),
          .revoked = TimeOr(statement, 6, absl::InfiniteFuture()),
          .used = TimeOr(statement, 7, absl::InfinitePast())};
}

class SqliteTokens final : public TokenStore {
 public:
  absl::Status Open(sqlite3* writer, const std::string& path) {
    HONE_RETURN_IF_ERROR(count_.Prepare(writer, "SELECT count(*) FROM token"));
    HONE_RETURN_IF_ERROR(
        forget_.Prepare(writer, "DELETE FROM token WHERE revoke_time < ?1 OR expire_time < ?1"));
    HONE_RETURN_IF_ERROR(
        load_.Prepare(writer, absl::StrCat(kTokenColumns, "WHERE id = ? AND revoke_time IS NULL")));
    HONE_RETURN_IF_ERROR(insert_.Prepare(
        writer,
        "INSERT INTO token (id, hash, role, project, create_time, expire_time) VALUES (?, ?, ?, "
        "?, ?, ?)"));
    HONE_RETURN_IF_ERROR(
        revoke_.Prepare(writer, "UPDATE token SET revoke_time = ? WHERE hash = ?"));
    HONE_RETURN_IF_ERROR(use_.Prepare(writer, "UPDATE token SET use_time = ? WHERE hash = ?"));
    HONE_ASSIGN_OR_RETURN(reader_, OpenReader(path));
    return all_.Prepare(reader_.get(), absl::StrCat(kTokenColumns, "ORDER BY row DESC"));
  }

  absl::Status Insert(const Token& token) override {
    HONE_RETURN_IF_ERROR(forget_.Reset().Int(ToNanos(token.created - kKept)).Run());
    HONE_ASSIGN_OR_RETURN(const std::optional<Token> known, Load(token.id));
    if (known.has_value()) {
      return absl::AlreadyExistsError(absl::StrCat("there is a token ", TokenName(token.id),
                                                   "; revoke it, or choose another name"));
    }
    {
      const Standing standing(count_);
      HONE_RETURN_IF_ERROR(count_.Reset().Step().status());
      if (count_.ColumnInt(0) >= kMost) {
        return absl::ResourceExhaustedError(
            absl::StrCat("there are ", kMost, " tokens, with those that were revoked"));
      }
    }
    insert_.Reset().Text(token.id).Text(token.hash).Text(token.role).Text(token.project);
    insert_.Int(ToNanos(token.created));
    token.expires == absl::InfiniteFuture() ? insert_.Null() : insert_.Int(ToNanos(token.expires));
    return insert_.Run();
  }

  absl::StatusOr<Token> Revoke(const std::string& id, absl::Time now) override {
    HONE_ASSIGN_OR_RETURN(std::optional<Token> token, Load(id));
    if (!token.has_value()) {
      return absl::NotFoundError(
          absl::StrCat("there is no token ", TokenName(id), ", or it is revoked"));
    }
    token->revoked = now;
    HONE_RETURN_IF_ERROR(revoke_.Reset().Int(ToNanos(now)).Text(token->hash).Run());
    return *std::move(token);
  }

  absl::Status Use(const std::string& hash, absl::Time now) override {
    return use_.Reset().Int(ToNanos(now)).Text(hash).Run();
  }

  absl::StatusOr<std::vector<Token>> All() const override {
    const std::lock_guard lock(mutex_);
    const Standing standing(all_);
    all_.Reset();
    std::vector<Token> tokens;
    for (;;) {
      HONE_ASSIGN_OR_RETURN(const bool found, all_.Step());
      if (!found) {
        return tokens;
      }
      tokens.push_back(ReadTokenRow(all_));
    }
  }

 private:
  // One that is not revoked.
  absl::StatusOr<std::optional<Token>> Load(const std::string& id) {
    const Standing standing(load_);
    HONE_ASSIGN_OR_RETURN(const bool found, load_.Reset().Text(id).Step());
    return found ? std::optional(ReadTokenRow(load_)) : std::nullopt;
  }

  Statement count_, forget_, load_, insert_, revoke_, use_;  // the writer's

  mutable std::mutex mutex_;  // guards all below
  Connection reader_;
  mutable Statement all_;
};

}  // namespace

std::string TokenName(absl::string_view id) { return absl::StrCat(kTokenPrefix, id); }

absl::StatusOr<std::string> TokenId(absl::string_view name) {
  absl::string_view id = name;
  if (!absl::ConsumePrefix(&id, kTokenPrefix) || !jobs::IsDatasetName(id)) {
    return jobs::WithReason(absl::InvalidArgumentError(absl::StrCat(
                                "name: must be tokens/<id>, got \"", CutUtf8(name, 100), "\"")),
                            jobs::reason::kInvalidName);
  }
  return std::string(id);
}

absl::StatusOr<std::unique_ptr<TokenStore>> OpenSqliteTokens(sqlite3* writer,
                                                             const std::string& path) {
  auto tokens = std::make_unique<SqliteTokens>();
  HONE_RETURN_IF_ERROR(tokens->Open(writer, path));
  return tokens;
}

}  // namespace hone::server::store
