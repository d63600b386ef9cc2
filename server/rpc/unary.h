#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
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

// Of a call, where its client set no shorter deadline.
inline constexpr absl::Duration kMostTime = absl::Seconds(60);

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

  // For one that answers later: `call` gets what it is to call then. What has not answered after
  // `most` is DEADLINE_EXCEEDED; its own answer then goes nowhere.
  template <typename Call>
  grpc::ServerUnaryReactor* Later(Call call, absl::Duration most = kMostTime) const {
    grpc::ServerUnaryReactor* const reactor = reactor_;
    const auto pending = std::make_shared<Pending>(*this);
    pending->alarm.Set(absl::ToChronoTime(absl::Now() + most), [pending](bool fired) mutable {
      // The alarm owns this function, and `pending` the alarm.
      const std::shared_ptr<Pending> last = std::move(pending);
      if (fired) {
        last->Answer(absl::DeadlineExceededError("the server did not answer in time"));
      }
    });
    call([pending](absl::StatusOr<Reply> result) {
      pending->Answer(std::move(result));
      pending->alarm.Cancel();
    });
    return reactor;
  }

 private:
  struct Pending {
    explicit Pending(const Unary& unary_call) : unary(unary_call) {}
    void Answer(absl::StatusOr<Reply> result) {
      if (!answered.exchange(true)) {
        unary.Finish(std::move(result));
      }
    }
    const Unary unary;
    std::atomic<bool> answered = false;
    grpc::Alarm alarm;
  };

  grpc::ServerUnaryReactor* reactor_;
  Reply* reply_;
  metrics::Registry& registry_;
  std::string method_;
  absl::Duration begin_;
};

}  // namespace hone::server::rpc
