#include "server/access/gate.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "server/jobs/reason.h"
#include "server/log/log.h"

namespace hone::server::access {
namespace {

constexpr char kHow[] =
    "show a token (`authorization: Bearer TOKEN`; hone: --token-file or HONE_TOKEN)";
constexpr absl::Duration kLogEvery = absl::Seconds(1);

absl::Status TokenRefused(absl::string_view why) {
  return jobs::WithReason(absl::UnauthenticatedError(why), jobs::reason::kTokenRefused);
}

}  // namespace

Gate::Gate(const GateOptions& options, Tokens& tokens, metrics::Registry& registry)
    : options_(options), tokens_(tokens), registry_(registry) {
  for (const char* const reason : {"no_credential", "unknown", "expired", "revoked", "role"}) {
    registry_.Add(metrics::Metric::kCallersRefused, {reason}, 0);
  }
}

void Gate::Note(absl::string_view reason, const Credentials& credentials,
                const store::Token& token) {
  registry_.Add(metrics::Metric::kCallersRefused, {std::string(reason)}, 1);
  int64_t unlogged = 0;
  {
    const std::lock_guard lock(mutex_);
    const absl::Duration now = SteadyNow();
    if (now < log_at_) {
      ++unlogged_;
      return;
    }
    log_at_ = now + kLogEvery;
    unlogged = std::exchange(unlogged_, 0);
  }
  log::Warning("a caller is not known", {{"reason", reason},
                                         {"token", token.id},
                                         {"peer", credentials.peer},
                                         {"others_since_the_last_line", unlogged}});
}

absl::StatusOr<Caller> Gate::FindByToken(const Credentials& credentials) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(credentials.authorization, absl::MaxSplits(' ', 1));
  if (!absl::EqualsIgnoreCase(parts.first, "bearer")) {
    Note("unknown", credentials, {});
    return TokenRefused(absl::StrCat("authorization: must be \"Bearer TOKEN\"; ", kHow));
  }
  const Tokens::Found found = tokens_.Find(parts.second, absl::Now());
  switch (found.standing) {
    case Tokens::Standing::kUnknown:
      Note("unknown", credentials, found.token);
      return TokenRefused(
          "this server does not know the token; `honed token list` says which ones "
          "there are");
    case Tokens::Standing::kExpired:
      Note("expired", credentials, found.token);
      return TokenRefused(absl::StrCat("the token ", found.token.id, " is past its time (",
                                       absl::FormatTime(found.token.expires), ")"));
    case Tokens::Standing::kRevoked:
      Note("revoked", credentials, found.token);
      return TokenRefused(absl::StrCat("the token ", found.token.id, " was revoked"));
    case Tokens::Standing::kValid:
      break;
  }
  return Caller{.name = absl::StrCat("token:", found.token.id),
                .role = RoleOfName(found.token.role).value_or(Role::kViewer),
                .project = found.token.project,
                .token_hash = found.token.hash};
}

absl::StatusOr<Caller> Gate::Find(const Credentials& credentials) {
  if (credentials.is_owner) {
    return Caller{.name = "owner", .role = Role::kAdmin};
  }
  if (IsOpen()) {
    return Caller();
  }
  if (!credentials.authorization.empty()) {
    return FindByToken(credentials);
  }
  if (credentials.has_certificate) {
    return Caller{.name = absl::StrCat("certificate:", credentials.certificate_name),
                  .role = options_.certificate_role};
  }
  Note("no_credential", credentials, {});
  return absl::UnauthenticatedError(absl::StrCat(
      "this server must know who calls: ", kHow,
      options_.client_certificates ? ", or a client certificate (hone: --tls-cert, --tls-key)"
                                   : ""));
}

absl::Status Gate::StillAdmitted(const Caller& caller) const {
  if (caller.name.empty() && !IsOpen()) {
    return absl::UnauthenticatedError(absl::StrCat("this server must know who calls now: ", kHow));
  }
  return caller.token_hash.empty() ||
                 tokens_.StandingOf(caller.token_hash, absl::Now()) == Tokens::Standing::kValid
             ? absl::OkStatus()
             : TokenRefused(absl::StrCat(caller.name, " was revoked, or is past its time"));
}

absl::StatusOr<Caller> Gate::Admit(const Credentials& credentials, Role least) {
  HONE_ASSIGN_OR_RETURN(Caller caller, Find(credentials));
  if (caller.role < least) {
    registry_.Add(metrics::Metric::kCallersRefused, {"role"}, 1);
    return absl::PermissionDeniedError(
        absl::StrCat("this needs the role ", RoleName(least), "; ",
                     caller.name.empty() ? "a caller that is not known" : caller.name, " is ",
                     RoleName(caller.role)));
  }
  return caller;
}

absl::StatusOr<Caller> Gate::Admit(const Credentials& credentials, absl::string_view rpc) {
  const std::optional<Role> least = LeastRoleFor(rpc);
  if (!least.has_value()) {
    return absl::PermissionDeniedError(absl::StrCat(rpc, ": nobody may call this"));
  }
  return Admit(credentials, *least);
}

}  // namespace hone::server::access
