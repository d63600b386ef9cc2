#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/access/clients.h"
#include "server/access/projects.h"
#include "server/access/role.h"
#include "server/access/tokens.h"
#include "server/metrics/registry.h"

namespace hone::server::access {

// What a connection and a call tell of who calls.
struct Credentials {
  std::string peer = "";           // an address; for the log
  std::string authorization = "";  // of the call's metadata or headers: "Bearer TOKEN"; "": none
  // It came through the socket in the server's own folder, which only the folder's owner can.
  bool is_owner = false;
  // Of the client's certificate, which TLS has found to be of an authority of --tls-client-ca.
  bool has_certificate = false;
  std::string certificate_name = "";
  std::string project = "";  // of the call's metadata `hone-project`; "": it names none
};

// Who calls.
struct Caller {
  std::string name = "";                        // for the log: "owner", "token:ci"; "": anybody
  Role role = Role::kOperator;                  // who may do what, only those say who are known
  std::string project = jobs::kDefaultProject;  // in which the call is made
  bool is_bound = false;                        // it can make none in another one
  std::string token_hash = "";                  // "": it showed none
  std::string certificate_name = "";            // as in Credentials, where it is known by that
  // Of the call, checked (engine/base/traceparent.h); "": none.
  std::string traceparent = "";
};

struct GateOptions {
  bool client_certificates = false;          // clients may show one
  Role certificate_role = Role::kSubmitter;  // of who does, in any project
  // Instead: what each name stands for; others are refused. Null: none are told apart. It outlives
  // the gate.
  Clients* clients = nullptr;
};

// The one place where it is decided who may do what: every call and stream goes through Admit
// before anything else, and the metrics endpoint does. Any thread.
class Gate {
 public:
  // `registry` counts who was refused; all of them outlive the gate.
  Gate(const GateOptions& options, Tokens& tokens, Projects& projects, metrics::Registry& registry);

  // Nobody is asked who they are: there is no way to say it.
  bool IsOpen() const { return !options_.client_certificates && !tokens_.any(); }

  // UNAUTHENTICATED: it is not known who calls; where a token was tried that does not count, with
  // the reason TOKEN_REFUSED, and the caller should wait for a while before it is told.
  // PERMISSION_DENIED: the caller has not the role that `rpc` needs, or is bound to another project
  // than the call names. INVALID_ARGUMENT: that can be no project's name. RESOURCE_EXHAUSTED: the
  // project has no more calls just now.
  absl::StatusOr<Caller> Admit(const Credentials& credentials, absl::string_view rpc);
  // For what goes on for long: UNAUTHENTICATED when the caller's token or certificate counts no
  // more, or stands for something else, or when it is not known who calls and the gate has closed
  // since.
  absl::Status StillAdmitted(const Caller& caller) const;
  // For what is no RPC and tells of all projects: PERMISSION_DENIED also for a caller that is bound
  // to one and is no admin.
  absl::StatusOr<Caller> AdmitToAll(const Credentials& credentials, Role least);

 private:
  absl::StatusOr<Caller> Find(const Credentials& credentials);
  absl::StatusOr<Caller> FindByToken(const Credentials& credentials);
  absl::StatusOr<Caller> FindByCertificate(const Credentials& credentials);
  absl::Status CheckRole(const Caller& caller, Role least);
  // Counts and logs it, the latter once a second at most.
  void Note(absl::string_view reason, const Credentials& credentials, const store::Token& token);

  const GateOptions options_;
  Tokens& tokens_;
  Projects& projects_;
  metrics::Registry& registry_;
  std::mutex mutex_;
  absl::Duration log_at_;  // SteadyNow(); guarded by mutex_
  int64_t unlogged_ = 0;   // guarded by mutex_
};

}  // namespace hone::server::access
