#pragma once

#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/base/steady_clock.h"
#include "server/rpc/deps.h"
#include "server/rpc/status.h"

namespace hone::server::rpc {

// What is left of the time that the client gave the call, at most `most`.
inline absl::Duration TimeLeft(const grpc::CallbackServerContext& context, absl::Duration most) {
  return std::min(absl::FromChrono(context.deadline()) - absl::Now(), most);
}

// The one wrapper around every unary call: counts and times it, and turns its answer into gRPC's.
template <typename Reply>
class Unary {
 public:
  Unary(grpc::CallbackServerContext* context, absl::string_view method, Deps& deps, Reply* reply)
      : reactor_(context->DefaultReactor()),
        reply_(reply),
        registry_(deps.registry),
        method_(method),
        begin_(SteadyNow()) {
    registry_.Add(metrics::Metric::kRpcStarted, {method_}, 1);
  }

  // For a call that answers at once.
  grpc::ServerUnaryReactor* Finish(absl::StatusOr<Reply> result) const {
    registry_.Observe(metrics::Metric::kRpcDuration,
                      {method_, absl::StatusCodeToString(result.status().code())},
                      absl::ToDoubleSeconds(SteadyNow() - begin_));
    grpc::ServerUnaryReactor* const reactor = reactor_;
    if (result.ok()) {
      *reply_ = *std::move(result);
    }
    reactor->Finish(ToGrpc(result.status()));
    return reactor;
  }

  // For one that answers later: `call` gets what it is to call then.
  template <typename Call>
  grpc::ServerUnaryReactor* Later(Call call) const {
    grpc::ServerUnaryReactor* const reactor = reactor_;
    call([self = *this](absl::StatusOr<Reply> result) { self.Finish(std::move(result)); });
    return reactor;
  }

 private:
  grpc::ServerUnaryReactor* reactor_;
  Reply* reply_;
  metrics::Registry& registry_;
  std::string method_;
  absl::Duration begin_;
};

}  // namespace hone::server::rpc
