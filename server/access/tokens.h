#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/access/role.h"
#include "server/store/job_store.h"
#include "server/store/token_store.h"
#include "server/store/writer.h"

namespace hone::server::access {

// In place of a project: its holder works in any, which each call names.
inline constexpr char kAnyProject[] = "*";

// A token, and the only time that it is known itself: "hone_" and 32 random bytes.
struct NewToken {
  std::string secret;
  store::Token token;
};
// `project` "" is the default one, kAnyProject any. INVALID_ARGUMENT: names the field, and what
// would be right.
absl::StatusOr<NewToken> MakeToken(const std::string& id, Role role, const std::string& project,
                                   absl::Time expires, absl::Time now);

// The tokens of a server, in memory: what the store has, as of the last change. Any thread.
class Tokens {
 public:
  // `writer` outlives this but for what it still calls, and this outlives its last call.
  static absl::StatusOr<std::unique_ptr<Tokens>> Open(const store::JobStore& store,
                                                      store::Writer& writer);

  // Whether there was ever one, so that who calls must be known.
  bool any() const { return any_; }

  enum class Standing { kValid, kUnknown, kExpired, kRevoked };
  struct Found {
    Standing standing = Standing::kUnknown;
    store::Token token = {};  // unless unknown
  };
  // By its hash: how long this takes tells nothing of any token. A valid one is used now.
  Found Find(absl::string_view secret, absl::Time now);
  // Of one that was found, by its hash.
  Standing StandingOf(const std::string& hash, absl::Time now) const;

  // `done` is called once it is durable and counts. Errors of TokenStore.
  using Done = std::function<void(absl::StatusOr<store::Token>)>;
  void Add(store::Token token, Done done);
  void Revoke(const std::string& id, absl::Time now, Done done);

  // The newest first.
  std::vector<store::Token> List() const;

 private:
  explicit Tokens(store::Writer& writer) : writer_(writer) {}
  static Standing Judge(const store::Token& token, absl::Time now);
  void Keep(const store::Token& token);
  // What has counted no more for TokenStore::kKept.
  void Forget(absl::Time now);

  store::Writer& writer_;
  std::atomic<bool> any_ = false;
  mutable std::mutex mutex_;
  absl::flat_hash_map<std::string, store::Token> by_hash_;  // guarded by mutex_
};

}  // namespace hone::server::access
