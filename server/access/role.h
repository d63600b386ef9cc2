#pragma once

#include <optional>

#include "absl/strings/string_view.h"

namespace hone::server::access {

// What a caller may do; each may do what those before it may.
enum class Role {
  kViewer,     // looks
  kSubmitter,  // trains and predicts
  kOperator,   // deletes, and says what stays
  kAdmin,      // says who may do what
};

inline constexpr Role kRoles[] = {Role::kViewer, Role::kSubmitter, Role::kOperator, Role::kAdmin};

// "viewer" and so on.
absl::string_view RoleName(Role role);
std::optional<Role> RoleOfName(absl::string_view name);

// The least role that may call an RPC of hone.v1, by its name. None: nobody may. The one list:
// tests/server/access_test.cc compares it with the services. gRPC's health service and reflection
// are open to everybody: they tell nothing that is not in this repository.
std::optional<Role> LeastRoleFor(absl::string_view rpc);

}  // namespace hone::server::access
