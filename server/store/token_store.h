#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/jobs/job.h"

namespace hone::server::store {

struct Token {
  std::string id;
  std::string hash;                             // lower-case hexadecimal SHA-256 of the token
  std::string role;                             // access::RoleName
  std::string project = jobs::kDefaultProject;  // "*": any
  absl::Time created;
  absl::Time expires = absl::InfiniteFuture();
  absl::Time revoked = absl::InfiniteFuture();  // that: it is not
  absl::Time used = absl::InfinitePast();       // that: never
};

// What callers say who they are by: part of a JobStore, with the same threads, transactions and
// errors.
class TokenStore {
 public:
  // Of all that there are, also those that count no more.
  static constexpr int kMost = 10'000;
  // How long a token is kept that was revoked or is past its time.
  static constexpr absl::Duration kKept = absl::Hours(24 * 90);

  virtual ~TokenStore() = default;

  // Forgets those that have counted no more for kKept; so the newest one stays whatever it is, and
  // with it that there was ever one. ALREADY_EXISTS: there is one of that id that is not revoked.
  // RESOURCE_EXHAUSTED: there are kMost.
  virtual absl::Status Insert(const Token& token) = 0;
  // NOT_FOUND: there is none, or it is revoked.
  virtual absl::StatusOr<Token> Revoke(const std::string& id, absl::Time now) = 0;
  // It was used. OK also where there is none.
  virtual absl::Status Use(const std::string& hash, absl::Time now) = 0;

  // All, the newest first.
  virtual absl::StatusOr<std::vector<Token>> All() const = 0;
};

// "tokens/" + id and back. INVALID_ARGUMENT, with the shape that a name must have.
std::string TokenName(absl::string_view id);
absl::StatusOr<std::string> TokenId(absl::string_view name);

}  // namespace hone::server::store
