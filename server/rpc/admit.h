#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "hone/v1/training_service.pb.h"
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

// The name of what a request is about; "": it names nothing that its call alone is about. A retry
// is looked at by its request_id first, and may be known where the job is no more.
template <typename Request>
std::string NameIn(const Request& request) {
  if constexpr (std::is_same_v<Request, v1::RetryJobRequest>) {
    return "";
  } else if constexpr (requires { request.job().name(); }) {
    return request.job().name();
  } else if constexpr (requires { request.model().name(); }) {
    return request.model().name();
  } else if constexpr (requires { request.name(); }) {
    return request.name();
  } else {
    return "";
  }
}

// The one place where it is decided whether a caller sees the job, model or sweep that its call is
// about: NOT_FOUND where it is of another project, as if there were none of that name. OK where the
// name is none of these. A short read of the store.
absl::Status CheckIsOfCaller(absl::string_view name, const access::Caller& caller,
                             const Deps& deps);

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
// caller that the gate has let in. `name`: NameIn its request, or "".
template <typename Reactor, typename Open>
Reactor* OpenFor(const grpc::CallbackServerContext& context, absl::string_view rpc,
                 const std::string& name, Deps& deps, const Open& open) {
  absl::StatusOr<access::Caller> caller = deps.gate.Admit(CredentialsOf(context), rpc);
  absl::Status status = caller.status();
  Call call{.method = std::string(rpc), .peer = PeerOf(context)};
  if (caller.ok()) {
    caller->traceparent = TraceparentOf(context);
    status = CheckIsOfCaller(name, *caller, deps);
    if (status.ok()) {
      return open(*caller);
    }
    call.caller = caller->name;
    call.project = caller->project;
    call.resource = name;
  }
  return new RefusedStream<Reactor>(ObservedStream(std::move(call), deps), status,
                                    deps.late_refusals);
}

}  // namespace hone::server::rpc
