#include "server/access/gate.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/base/steady_clock.h"
#include "engine/base/utf8.h"
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

// The project of a call, from what its caller is bound to and what the call names.
absl::Status SetProject(const Credentials& credentials, Caller& caller) {
  const std::string& asked = credentials.project;
  if (!asked.empty()) {
    HONE_RETURN_IF_ERROR(store::CheckProject("hone-project", asked));
  }
  if (!caller.is_bound) {
    caller.project = asked.empty() ? jobs::kDefaultProject : asked;
    return absl::OkStatus();
  }
  return asked.empty() || asked == caller.project
             ? absl::OkStatus()
             : absl::PermissionDeniedError(absl::StrCat("hone-project: ", caller.name,
                                                        " works in the project ", caller.project,
                                                        " and in no other, got \"", asked, "\""));
}

}  // namespace

Gate::Gate(const GateOptions& options, Tokens& tokens, Projects& projects,
           metrics::Registry& registry)
    : options_(options), tokens_(tokens), projects_(projects), registry_(registry) {
  for (const char* const reason :
       {"no_credential", "unknown", "expired", "revoked", "role", "project", "calls"}) {
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
                .is_bound = found.token.project != kAnyProject,
                .token_hash = found.token.hash};
}

absl::StatusOr<Caller> Gate::FindByCertificate(const Credentials& credentials) {
  Caller caller{.name = absl::StrCat("certificate:", credentials.certificate_name),
                .role = options_.certificate_role,
                .certificate_name = credentials.certificate_name};
  if (options_.clients == nullptr) {
    return caller;
  }
  const std::optional<Client> client =
      options_.clients->Find(credentials.certificate_name, SteadyNow());
  if (!client.has_value()) {
    Note("unknown", credentials, {});
    return absl::UnauthenticatedError(
        absl::StrCat("this server does not know the name of the certificate, \"",
                     CutUtf8(credentials.certificate_name, 100),
                     "\"; whoever keeps it adds the name to the file of --tls-clients"));
  }
  caller.role = client->role;
  caller.project = client->project;
  caller.is_bound = client->project != kAnyProject;
  return caller;
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
    return FindByCertificate(credentials);
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
  if (!caller.certificate_name.empty() && options_.clients != nullptr) {
    const std::optional<Client> client =
        options_.clients->Find(caller.certificate_name, SteadyNow());
    const bool same = client.has_value() && client->role == caller.role &&
                      (client->project != kAnyProject) == caller.is_bound &&
                      (!caller.is_bound || client->project == caller.project);
    return same ? absl::OkStatus()
                : absl::UnauthenticatedError(absl::StrCat(
                      caller.name, " stands for nobody any more, or for something else"));
  }
  return caller.token_hash.empty() ||
                 tokens_.StandingOf(caller.token_hash, absl::Now()) == Tokens::Standing::kValid
             ? absl::OkStatus()
             : TokenRefused(absl::StrCat(caller.name, " was revoked, or is past its time"));
}

absl::Status Gate::CheckRole(const Caller& caller, Role least) {
  if (caller.role >= least) {
    return absl::OkStatus();
  }
  registry_.Add(metrics::Metric::kCallersRefused, {"role"}, 1);
  return absl::PermissionDeniedError(
      absl::StrCat("this needs the role ", RoleName(least), "; ",
                   caller.name.empty() ? "a caller that is not known" : caller.name, " is ",
                   RoleName(caller.role)));
}

absl::StatusOr<Caller> Gate::AdmitToAll(const Credentials& credentials, Role least) {
  HONE_ASSIGN_OR_RETURN(const Caller caller, Find(credentials));
  HONE_RETURN_IF_ERROR(CheckRole(caller, least));
  if (caller.is_bound && caller.role < Role::kAdmin) {
    registry_.Add(metrics::Metric::kCallersRefused, {"project"}, 1);
    return absl::PermissionDeniedError(absl::StrCat(
        "this tells of all projects; ", caller.name, " works in the project ", caller.project,
        " alone: it needs a token made with --project '*', or the role admin"));
  }
  return caller;
}

absl::StatusOr<Caller> Gate::Admit(const Credentials& credentials, absl::string_view rpc) {
  const std::optional<Role> least = LeastRoleFor(rpc);
  if (!least.has_value()) {
    return absl::PermissionDeniedError(absl::StrCat(rpc, ": nobody may call this"));
  }
  HONE_ASSIGN_OR_RETURN(Caller caller, Find(credentials));
  HONE_RETURN_IF_ERROR(CheckRole(caller, *least));
  if (const absl::Status status = SetProject(credentials, caller); !status.ok()) {
    registry_.Add(metrics::Metric::kCallersRefused, {"project"}, 1);
    return status;
  }
  // Whoever owns the folder can always mend the shares.
  if (!credentials.is_owner) {
    if (const absl::Status status = projects_.CountCall(caller.project, SteadyNow());
        !status.ok()) {
      registry_.Add(metrics::Metric::kCallersRefused, {"calls"}, 1);
      return status;
    }
  }
  return caller;
}

}  // namespace hone::server::access
