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
#include "server/jobs/reason.h"
#include "server/rpc/deps.h"
#include "server/rpc/late_refusals.h"
#include "server/rpc/observed_stream.h"

namespace hone::server::rpc {

access::Credentials CredentialsOf(const grpc::CallbackServerContext& context);

// The address that a call comes from, for the log: of one that came by HTTP, that of HTTP's client.
std::string PeerOf(const grpc::CallbackServerContext& context);
// The trace context of the call's metadata; "": it has none, or what is no trace context, which is
// ignored, as the W3C wants it.
std::string TraceparentOf(const grpc::CallbackServerContext& context);

// What a refusal waits for before it is told, where there is a place for it. A token that was
// guessed costs that much; who shows none, or has not the role, is told at once.
inline absl::Duration DelayOf(const absl::Status& refusal) {
  return jobs::ReasonOf(refusal) == jobs::reason::kTokenRefused ? absl::Seconds(1)
                                                                : absl::ZeroDuration();
}

// A stream that is refused: one status, and nothing else.
template <typename Reactor>
class RefusedStream final : public Reactor {
 public:
  RefusedStream(ObservedStream observed, const absl::Status& why, LateRefusals& late) {
    const grpc::Status end = observed.End(why);
    const absl::Duration delay = DelayOf(why);
    if (delay > absl::ZeroDuration()) {
      place_ = late.Take();
    }
    if (place_ == nullptr) {
      this->Finish(end);
    } else {
      alarm_.Set(absl::ToChronoTime(absl::Now() + delay), [this, end](bool) { this->Finish(end); });
    }
  }
  void OnDone() override { delete this; }

 private:
  LateRefusals::Place place_;
  grpc::Alarm alarm_;
};

// How every stream begins, as every other call does with Unary: `open` makes its reactor for the
// caller that the gate has let in.
template <typename Reactor, typename Open>
Reactor* OpenFor(const grpc::CallbackServerContext& context, absl::string_view rpc, Deps& deps,
                 const Open& open) {
  absl::StatusOr<access::Caller> caller = deps.gate.Admit(CredentialsOf(context), rpc);
  if (caller.ok()) {
    caller->traceparent = TraceparentOf(context);
    return open(*caller);
  }
  return new RefusedStream<Reactor>(
      ObservedStream({.method = std::string(rpc), .peer = PeerOf(context)}, deps), caller.status(),
      deps.late_refusals);
}

}  // namespace hone::server::rpc
