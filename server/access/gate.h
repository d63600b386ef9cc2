#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/access/role.h"
#include "server/metrics/registry.h"

namespace hone::server::access {

// What a connection and a call tell of who calls.
struct Credentials {
  // Of the client's certificate, which TLS has found to be of an authority of --tls-client-ca.
  bool has_certificate = false;
  std::string certificate_name = "";
};

// Who calls.
struct Caller {
  std::string name = "";  // for the log; "": everybody
  Role role = Role::kAdmin;
};

struct GateOptions {
  bool client_certificates = false;          // clients may show one
  Role certificate_role = Role::kSubmitter;  // of who does
};

// The one place where it is decided who may do what: every call and stream goes through Admit
// before anything else, and the metrics endpoint does. Any thread.
class Gate {
 public:
  // `registry` counts who was refused, and outlives the gate.
  Gate(const GateOptions& options, metrics::Registry& registry);

  // Nobody is asked who they are: there is no way to say it.
  bool IsOpen() const { return !options_.client_certificates; }

  // UNAUTHENTICATED: it is not known who calls. PERMISSION_DENIED: the caller has not the role that
  // `rpc` needs.
  absl::StatusOr<Caller> Admit(const Credentials& credentials, absl::string_view rpc);
  // The same for what is no RPC.
  absl::StatusOr<Caller> Admit(const Credentials& credentials, Role least);

 private:
  absl::StatusOr<Caller> Find(const Credentials& credentials) const;

  const GateOptions options_;
  metrics::Registry& registry_;
};

}  // namespace hone::server::access
