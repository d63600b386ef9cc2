#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/base/steady_clock.h"
#include "google/protobuf/message.h"
#include "hone/v1/job_resource.pb.h"
#include "server/jobs/unknown_fields.h"
#include "server/rpc/admit.h"
#include "server/rpc/call_log.h"
#include "server/rpc/deps.h"
#include "server/rpc/late_refusals.h"
#include "server/rpc/status.h"

namespace hone::server::rpc {

// What is left of the time that the client gave the call, at most `most`.
inline absl::Duration TimeLeft(const grpc::CallbackServerContext& context, absl::Duration most) {
  return std::min(absl::FromChrono(context.deadline()) - absl::Now(), most);
}

// Of a call, where its client set no shorter deadline.
inline constexpr absl::Duration kMostTime = absl::Seconds(60);

inline absl::Status LateError() {
  return absl::DeadlineExceededError("the server did not answer in time");
}

// Of a message in memory.
inline int64_t BytesOf(const google::protobuf::Message& message) {
  return static_cast<int64_t>(message.SpaceUsedLong());
}

// The one wrapper around every unary call: lets it in, counts, times and logs it, and turns its
// answer into gRPC's.
template <typename Reply>
class Unary {
 public:
  Unary(grpc::CallbackServerContext* context, absl::string_view method, Deps& deps, Reply* reply)
      : reactor_(new Reactor()),
        reply_(reply),
        deps_(deps),
        call_{.method = std::string(method), .peer = PeerOf(*context)},
        begin_(SteadyNow()),
        caller_(deps.gate.Admit(CredentialsOf(*context), method)) {
    if (caller_.ok()) {
      call_.caller = caller_->name;
      call_.project = caller_->project;
      call_.traceparent = caller_->traceparent = TraceparentOf(*context);
    }
    deps_.registry.Add(metrics::Metric::kRpcStarted, {call_.method}, 1);
  }

  // One of the two comes first: what the client asks is checked for fields that this server does
  // not know. A call that changes something is logged even when all is well.
  template <typename Request>
  Unary& Reads(const Request& request) {
    asked_ = jobs::CheckFieldsAreKnown(request);
    bytes_ = BytesOf(request);
    name_ = NameIn(request);
    return *this;
  }
  template <typename Request>
  Unary& Changes(const Request& request) {
    Reads(request);
    call_.changes = true;
    if constexpr (requires { request.request_id(); }) {
      call_.request_id = request.request_id();
    }
    if constexpr (requires { request.name(); }) {
      call_.resource = request.name();
    }
    if constexpr (requires { request.project().name(); }) {
      call_.resource = request.project().name();
    }
    if constexpr (requires { request.token_id(); }) {
      call_.resource = absl::StrCat("tokens/", request.token_id());
    }
    if constexpr (requires { request.job().name(); }) {
      call_.resource = request.job().name();
    }
    if constexpr (requires { request.model().name(); }) {
      call_.resource = request.model().name();
    }
    if constexpr (requires { request.dataset(); }) {
      call_.resource = request.dataset();
    }
    if constexpr (requires { request.header().dataset_id(); }) {
      call_.resource = absl::StrCat("datasets/", request.header().dataset_id());
    }
    return *this;
  }

  // Whom the gate has let in; nobody where it has not.
  access::Caller caller() const { return caller_.value_or(access::Caller()); }

  // The ways to answer that are below, by a plain function of calls.h, which gets the caller where
  // it needs it.
  template <typename Request>
  grpc::ServerUnaryReactor* Now(const Request& request,
                                absl::StatusOr<Reply> (*call)(const Request&, Deps&)) const {
    return Now([&] { return call(request, deps_); });
  }
  template <typename Request>
  grpc::ServerUnaryReactor* Now(const Request& request,
                                absl::StatusOr<Reply> (*call)(const Request&, const access::Caller&,
                                                              Deps&)) const {
    return Now([&] { return call(request, *caller_, deps_); });
  }
  template <typename Request>
  grpc::ServerUnaryReactor* On(scheduler::Executor& executor, const Request& request,
                               absl::StatusOr<Reply> (*call)(const Request&, const access::Caller&,
                                                             Deps&)) const {
    return On(executor, [call, asked = request, caller = caller(), &deps = deps_] {
      return call(asked, caller, deps);
    });
  }
  template <typename Request>
  grpc::ServerUnaryReactor* Later(const Request& request,
                                  void (*call)(const Request&, Deps&, Done<Reply>)) const {
    return Later([&](Done<Reply> done) { call(request, deps_, std::move(done)); });
  }

  template <typename Request>
  grpc::ServerUnaryReactor* Later(const Request& request,
                                  void (*call)(const Request&, const access::Caller&, Deps&,
                                               Done<Reply>)) const {
    return Later([&](Done<Reply> done) { call(request, *caller_, deps_, std::move(done)); });
  }

  // For a call that answers at once: `call` returns the answer.
  template <typename Call>
  grpc::ServerUnaryReactor* Now(Call call) const {
    if (!caller_.ok()) {
      return Refuse();
    }
    const absl::Status taken = Begin();
    return Finish(taken.ok() ? call() : absl::StatusOr<Reply>(taken));
  }

  // For one that may take longer than a moment: `call` returns the answer, on a thread of
  // `executor`. It keeps what it needs of the request: the deadline may have come before.
  template <typename Call>
  grpc::ServerUnaryReactor* On(scheduler::Executor& executor, Call call) const {
    return Later([&executor, call = std::move(call)](Done<Reply> done) mutable {
      if (!executor.Submit([call = std::move(call), done] { done(call()); })) {
        done(absl::ResourceExhaustedError("too many calls of this kind at a time; try again"));
      }
    });
  }

  // For one that answers later: `call` gets what it is to call then. What has not answered after
  // `most` is answered with `late`; its own answer then goes nowhere.
  template <typename Call>
  grpc::ServerUnaryReactor* Later(Call call, absl::Duration most = kMostTime,
                                  absl::Status late = LateError()) const {
    if (!caller_.ok()) {
      return Refuse();
    }
    if (const absl::Status taken = Begin(); !taken.ok()) {
      return Finish(taken);
    }
    const auto pending = std::make_shared<Pending>(*this);
    Pending::AnswerAfter(most, std::move(late), pending);
    call([pending](absl::StatusOr<Reply> result) { pending->Answer(std::move(result)); });
    return reactor_;
  }

 private:
  // What gRPC knows of the call, to its end: so long its request and its answer are in memory.
  class Reactor final : public grpc::ServerUnaryReactor {
   public:
    void OnDone() override { delete this; }

    std::optional<ByteBudget::Share> request, answer;
    LateRefusals::Place late;
  };

  // A call that is under way. Its own answer and its deadline may come at the same time: the first
  // one counts. Whoever may still answer keeps it: the call, and the alarm.
  class Pending {
   public:
    explicit Pending(const Unary& unary) : unary_(unary) {}

    static void AnswerAfter(absl::Duration most, absl::Status late,
                            std::shared_ptr<Pending> pending) {
      grpc::Alarm& alarm = pending->alarm_;
      // Called at the deadline, or as soon as the alarm is cancelled. The alarm is a part of what
      // the function keeps, so it lets go when it is called.
      alarm.Set(absl::ToChronoTime(absl::Now() + most),
                [kept = std::move(pending), late = std::move(late)](bool at_deadline) mutable {
                  const std::shared_ptr<Pending> last = std::move(kept);
                  if (at_deadline) {
                    last->FinishOnce(std::move(late));
                  }
                });
    }

    void Answer(absl::StatusOr<Reply> result) {
      FinishOnce(std::move(result));
      alarm_.Cancel();
    }

   private:
    void FinishOnce(absl::StatusOr<Reply> result) {
      if (!finished_.exchange(true)) {
        unary_.Finish(std::move(result));
      }
    }

    const Unary unary_;
    std::atomic<bool> finished_ = false;
    grpc::Alarm alarm_;
  };

  // For who calls: after a while, if there is a place for those that wait. A large request, which
  // would be in memory until then, has none.
  grpc::ServerUnaryReactor* Refuse() const {
    const absl::Duration delay = DelayOf(caller_.status());
    if (delay > absl::ZeroDuration() && bytes_ <= ByteBudget::kSmall) {
      reactor_->late = deps_.late_refusals.Take();
      if (reactor_->late != nullptr) {
        Pending::AnswerAfter(delay, caller_.status(), std::make_shared<Pending>(*this));
        return reactor_;
      }
    }
    return Finish(caller_.status());
  }

  // Not OK: the call is refused for its request. The caller is let in by then.
  absl::Status Begin() const {
    if (!asked_.ok()) {
      return asked_;
    }
    reactor_->request = deps_.budget.Take(bytes_);
    if (!reactor_->request.has_value()) {
      return absl::ResourceExhaustedError("too many large requests at a time; try again");
    }
    return CheckIsOfCaller(name_, *caller_, deps_);
  }

  // Not OK: there is no memory for this answer. What has changed something is answered all the
  // same.
  absl::Status Hold(const Reply& reply) const {
    const int64_t bytes = BytesOf(reply) + static_cast<int64_t>(reply.ByteSizeLong());
    if (call_.changes) {
      reactor_->answer = deps_.budget.Charge(bytes);
      return absl::OkStatus();
    }
    reactor_->answer = deps_.budget.Take(bytes);
    return reactor_->answer.has_value()
               ? absl::OkStatus()
               : absl::ResourceExhaustedError(
                     "too many large answers wait for their clients; try again");
  }

  grpc::ServerUnaryReactor* Finish(absl::StatusOr<Reply> result) const {
    if (result.ok()) {
      if (const absl::Status held = Hold(*result); !held.ok()) {
        result = held;
      }
    }
    const absl::Duration took = SteadyNow() - begin_;
    deps_.registry.Observe(metrics::Metric::kRpcDuration,
                           {call_.method, absl::StatusCodeToString(result.status().code())},
                           absl::ToDoubleSeconds(took));
    Log(result, took);
    const grpc::Status status = ToGrpc(result.status());
    if (result.ok()) {
      *reply_ = *std::move(result);
    }
    reactor_->Finish(status);
    return reactor_;
  }

  void Log(const absl::StatusOr<Reply>& result, absl::Duration took) const {
    Call call = call_;
    if constexpr (std::is_same_v<Reply, v1::Job>) {
      // A job that is made has no name before.
      call.resource = result.ok() && !result->name().empty() ? result->name() : call.resource;
    }
    LogCall(call, result.status(), took);
  }

  Reactor* reactor_;  // its own until Finish
  Reply* reply_;
  Deps& deps_;
  Call call_;
  absl::Duration begin_;
  absl::StatusOr<access::Caller> caller_;
  absl::Status asked_;  // what is wrong with the request, whatever the call
  int64_t bytes_ = 0;   // of the request
  std::string name_;    // NameIn the request
};

}  // namespace hone::server::rpc
