#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/base/steady_clock.h"
#include "hone/v1/job_resource.pb.h"
#include "server/rpc/call_log.h"
#include "server/rpc/deps.h"
#include "server/rpc/status.h"

namespace hone::server::rpc {

// What is left of the time that the client gave the call, at most `most`.
inline absl::Duration TimeLeft(const grpc::CallbackServerContext& context, absl::Duration most) {
  return std::min(absl::FromChrono(context.deadline()) - absl::Now(), most);
}

// Of a call, where its client set no shorter deadline.
inline constexpr absl::Duration kMostTime = absl::Seconds(60);

// The one wrapper around every unary call: counts, times and logs it, and turns its answer into
// gRPC's.
template <typename Reply>
class Unary {
 public:
  Unary(grpc::CallbackServerContext* context, absl::string_view method, Deps& deps, Reply* reply)
      : reactor_(context->DefaultReactor()),
        reply_(reply),
        registry_(deps.registry),
        call_{.method = std::string(method), .peer = context->peer()},
        begin_(SteadyNow()) {
    registry_.Add(metrics::Metric::kRpcStarted, {call_.method}, 1);
  }

  // The call changes something: it is logged even when all is well.
  template <typename Request>
  Unary& Changes(const Request& request) {
    call_.changes = true;
    if constexpr (requires { request.request_id(); }) {
      call_.request_id = request.request_id();
    }
    if constexpr (requires { request.name(); }) {
      call_.resource = request.name();
    }
    if constexpr (requires { request.header().dataset_id(); }) {
      call_.resource = absl::StrCat("datasets/", request.header().dataset_id());
    }
    return *this;
  }

  // For a call that answers at once.
  grpc::ServerUnaryReactor* Finish(absl::StatusOr<Reply> result) const {
    const absl::Duration took = SteadyNow() - begin_;
    registry_.Observe(metrics::Metric::kRpcDuration,
                      {call_.method, absl::StatusCodeToString(result.status().code())},
                      absl::ToDoubleSeconds(took));
    Log(result, took);
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
    pending->alarm.Set(
        absl::ToChronoTime(absl::Now() + most), [owned = pending](bool fired) mutable {
          // The alarm owns this function, and `owned` the alarm: the ring is opened here.
          const std::shared_ptr<Pending> last = std::move(owned);
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
  void Log(const absl::StatusOr<Reply>& result, absl::Duration took) const {
    Call call = call_;
    if constexpr (std::is_same_v<Reply, v1::Job>) {
      // A job that is made has no name before.
      call.resource = result.ok() && !result->name().empty() ? result->name() : call.resource;
    }
    LogCall(call, result.status(), took);
  }

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
  Call call_;
  absl::Duration begin_;
};

}  // namespace hone::server::rpc
