#include "server/access/tokens.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/files.h"
#include "engine/base/status.h"
#include "server/jobs/validate.h"

namespace hone::server::access {
namespace {

// By which a token is known for one, in a log or a repository where it should not be.
constexpr char kPrefix[] = "hone_";
constexpr size_t kRandomBytes = 32;
// The store is told of a use no more often.
constexpr absl::Duration kTellUseEvery = absl::Minutes(1);

absl::Status CheckId(absl::string_view field, const std::string& id) {
  return jobs::IsDatasetName(id)
             ? absl::OkStatus()
             : absl::InvalidArgumentError(absl::StrCat(
                   field,
                   ": must be 1 to 64 letters, digits, '-', '_' or '.', the first no '-' or "
                   "'.', got \"",
                   absl::CHexEscape(id.substr(0, 80)), "\""));
}

}  // namespace

absl::StatusOr<NewToken> MakeToken(const std::string& id, Role role, const std::string& project,
                                   absl::Time expires, absl::Time now) {
  HONE_RETURN_IF_ERROR(CheckId("token_id", id));
  if (!project.empty() && project != kAnyProject) {
    HONE_RETURN_IF_ERROR(CheckId("project", project));
  }
  if (expires <= now) {
    return absl::InvalidArgumentError("expire_time: must be in the future");
  }
  std::array<unsigned char, kRandomBytes> random;
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) {
    return absl::InternalError("the system gives no random bytes");
  }
  NewToken made;
  made.secret = absl::StrCat(kPrefix, absl::WebSafeBase64Escape(absl::string_view(
                                          reinterpret_cast<char*>(random.data()), random.size())));
  made.token = {.id = id,
                .hash = Sha256(made.secret),
                .role = std::string(RoleName(role)),
                .project = project.empty() ? jobs::kDefaultProject : project,
                .created = now,
                .expires = expires};
  return made;
}

absl::StatusOr<std::unique_ptr<Tokens>> Tokens::Open(const store::JobStore& store,
                                                     store::Writer& writer) {
  HONE_ASSIGN_OR_RETURN(const std::vector<store::Token> all, store.tokens().All());
  std::unique_ptr<Tokens> tokens(new Tokens(writer));
  for (const store::Token& token : all) {
    tokens->Keep(token);
  }
  return tokens;
}

Tokens::Standing Tokens::Judge(const store::Token& token, absl::Time now) {
  return token.revoked != absl::InfiniteFuture() ? Standing::kRevoked
         : token.expires <= now                  ? Standing::kExpired
                                                 : Standing::kValid;
}

void Tokens::Keep(const store::Token& token) {
  const std::lock_guard lock(mutex_);
  by_hash_[token.hash] = token;
  any_ = true;
}

Tokens::Standing Tokens::StandingOf(const std::string& hash, absl::Time now) const {
  const std::lock_guard lock(mutex_);
  const auto it = by_hash_.find(hash);
  return it == by_hash_.end() ? Standing::kUnknown : Judge(it->second, now);
}

Tokens::Found Tokens::Find(absl::string_view secret, absl::Time now) {
  const std::string hash = Sha256(secret);
  Found found;
  bool tell = false;
  {
    const std::lock_guard lock(mutex_);
    const auto it = by_hash_.find(hash);
    if (it == by_hash_.end()) {
      return found;
    }
    store::Token& token = it->second;
    found.standing = Judge(token, now);
    tell = found.standing == Standing::kValid && now - token.used >= kTellUseEvery;
    if (tell) {
      token.used = now;
    }
    found.token = token;
  }
  if (tell) {
    writer_.Submit<bool>(
        [hash, now](store::JobStore& store) -> absl::StatusOr<bool> {
          HONE_RETURN_IF_ERROR(store.tokens().Use(hash, now));
          return true;
        },
        [](const absl::StatusOr<bool>&) {});
  }
  return found;
}

void Tokens::Forget(absl::Time now) {
  const std::lock_guard lock(mutex_);
  absl::erase_if(by_hash_, [now](const auto& entry) {
    return std::min(entry.second.revoked, entry.second.expires) < now - store::TokenStore::kKept;
  });
}

void Tokens::Add(store::Token token, Done done) {
  writer_.Submit<store::Token>(
      [token = std::move(token)](store::JobStore& store) -> absl::StatusOr<store::Token> {
        HONE_RETURN_IF_ERROR(store.tokens().Insert(token));
        return token;
      },
      [this, done = std::move(done)](absl::StatusOr<store::Token> added) {
        if (added.ok()) {
          Keep(*added);
          Forget(added->created);  // as the store has
        }
        done(std::move(added));
      });
}

void Tokens::Revoke(const std::string& id, absl::Time now, Done done) {
  writer_.Submit<store::Token>(
      [id, now](store::JobStore& store) { return store.tokens().Revoke(id, now); },
      [this, done = std::move(done)](absl::StatusOr<store::Token> revoked) {
        if (revoked.ok()) {
          Keep(*revoked);
        }
        done(std::move(revoked));
      });
}

std::vector<store::Token> Tokens::List() const {
  std::vector<store::Token> tokens;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [hash, token] : by_hash_) {
      tokens.push_back(token);
    }
  }
  std::ranges::sort(tokens, [](const store::Token& one, const store::Token& other) {
    return std::pair(one.created, one.hash) > std::pair(other.created, other.hash);
  });
  return tokens;
}

}  // namespace hone::server::access
