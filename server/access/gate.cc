#include "server/access/gate.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status.h"

namespace hone::server::access {

Gate::Gate(const GateOptions& options, metrics::Registry& registry)
    : options_(options), registry_(registry) {
  for (const absl::string_view reason : {"no_credential", "role"}) {
    registry_.Add(metrics::Metric::kCallersRefused, {std::string(reason)}, 0);
  }
}

absl::StatusOr<Caller> Gate::Find(const Credentials& credentials) const {
  if (credentials.has_certificate) {
    return Caller{.name = absl::StrCat("certificate:", credentials.certificate_name),
                  .role = options_.certificate_role};
  }
  if (IsOpen()) {
    return Caller();
  }
  registry_.Add(metrics::Metric::kCallersRefused, {"no_credential"}, 1);
  return absl::UnauthenticatedError(
      "this server must know who calls: show a client certificate (hone: --tls-cert, --tls-key)");
}

absl::StatusOr<Caller> Gate::Admit(const Credentials& credentials, Role least) {
  HONE_ASSIGN_OR_RETURN(Caller caller, Find(credentials));
  if (caller.role < least) {
    registry_.Add(metrics::Metric::kCallersRefused, {"role"}, 1);
    return absl::PermissionDeniedError(absl::StrCat("this needs the role ", RoleName(least), "; ",
                                                    caller.name, " is ", RoleName(caller.role)));
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
