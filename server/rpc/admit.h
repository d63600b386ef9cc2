#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/access/gate.h"
#include "server/rpc/deps.h"
#include "server/rpc/observed_stream.h"

namespace hone::server::rpc {

access::Credentials CredentialsOf(const grpc::CallbackServerContext& context);

// A stream that is refused: one status, and nothing else.
template <typename Reactor>
class RefusedStream final : public Reactor {
 public:
  RefusedStream(ObservedStream observed, const absl::Status& why) {
    this->Finish(observed.End(why));
  }
  void OnDone() override { delete this; }
};

// How every stream begins, as every other call does with Unary: `open` makes its reactor for the
// caller that the gate has let in.
template <typename Reactor, typename Open>
Reactor* OpenFor(const grpc::CallbackServerContext& context, absl::string_view rpc, Deps& deps,
                 const Open& open) {
  const absl::StatusOr<access::Caller> caller = deps.gate.Admit(CredentialsOf(context), rpc);
  if (caller.ok()) {
    return open(*caller);
  }
  return new RefusedStream<Reactor>(
      ObservedStream({.method = std::string(rpc), .peer = context.peer()}, deps), caller.status());
}

}  // namespace hone::server::rpc
