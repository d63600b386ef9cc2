#include "server/rpc/sweep_streams.h"

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/steady_clock.h"
#include "server/jobs/unknown_fields.h"
#include "server/rpc/calls.h"
#include "server/rpc/observed_stream.h"
#include "server/rpc/watch_sweep.h"
#include "server/store/sweep_store.h"

namespace hone::server::rpc {
namespace {

constexpr std::chrono::seconds kEvery(1);

absl::StatusOr<std::string> Asked(const v1::WatchSweepRequest& request) {
  const absl::Status known = jobs::CheckFieldsAreKnown(request);
  return known.ok() ? store::SweepId(request.name()) : known;
}

}  // namespace

// One watcher of a sweep; waits for a look at it, or for its client.
class SweepStream final : public Watcher<v1::WatchSweepResponse> {
 public:
  SweepStream(std::string sweep_id, const ObservedStream& observed, access::Caller caller,
              Deps& deps, SweepStreams& streams)
      : Watcher(observed, std::move(caller), deps.gate),
        sweep_id_(std::move(sweep_id)),
        streams_(streams),
        watch_(deps.watch_budget) {}

  // When it is among the open ones.
  void Begin() {
    Hold();
    streams_.Wake();
  }

  const std::string& sweep_id() const { return sweep_id_; }

  // A look is of use now; else there is to be another one when the client has taken its answer.
  bool Waits() {
    const std::lock_guard lock(mutex_);
    missed_ = !idle();
    return !missed_;
  }

  // What somebody saw who looked at the sweep.
  void Offer(const absl::StatusOr<SweepLook>& look, absl::Duration now) {
    const std::lock_guard lock(mutex_);
    if (!idle()) {
      missed_ = true;
      return;
    }
    if (!look.ok()) {
      return End(look.status());
    }
    switch (watch_.Take(*look, response_)) {
      case SweepWatch::Next::kAnswer:
        return Send();
      case SweepWatch::Next::kNoRoom:
        if (!watch_.begun()) {
          return End(
              absl::ResourceExhaustedError("the watchers have too much to be sent; try again"));
        }
        break;  // the next look may find room
      case SweepWatch::Next::kNothing:
        break;
    }
    if (HeartbeatIsDue(now)) {
      Heartbeat();
    }
  }

 private:
  void Left() override { streams_.open_.Remove(this); }

  void Taken() override {
    response_ = v1::WatchSweepResponse();  // Clear would keep its memory
    watch_.Sent();
  }

  void Next() override {
    if (watch_.ended()) {
      return End(absl::OkStatus());
    }
    if (std::exchange(missed_, false)) {
      streams_.Wake();
    }
  }

  const std::string sweep_id_;
  SweepStreams& streams_;
  SweepWatch watch_;     // guarded by mutex_
  bool missed_ = false;  // a look at the sweep; guarded by mutex_
};

SweepStreams::SweepStreams(Deps& deps) : deps_(deps), thread_([this] { Loop(); }) {}

SweepStreams::~SweepStreams() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

grpc::ServerWriteReactor<v1::WatchSweepResponse>* SweepStreams::Open(
    const v1::WatchSweepRequest& request, access::Caller caller) {
  using Refused = RefusedWatch<v1::WatchSweepResponse>;
  const ObservedStream observed({.method = "WatchSweep",
                                 .caller = caller.name,
                                 .project = caller.project,
                                 .traceparent = caller.traceparent,
                                 .resource = request.name()},
                                deps_);
  absl::StatusOr<std::string> id = Asked(request);
  if (!id.ok()) {
    return new Refused(observed, id.status());
  }
  const auto stream =
      std::make_shared<SweepStream>(*std::move(id), observed, std::move(caller), deps_, *this);
  if (const absl::Status added = open_.Add(stream); !added.ok()) {
    return new Refused(observed, added);
  }
  stream->Begin();
  return stream.get();
}

void SweepStreams::Wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wake_.notify_all();
}

void SweepStreams::Goodbye() { open_.Goodbye(); }

size_t SweepStreams::size() const { return open_.size(); }

void SweepStreams::LookAtAll() {
  std::map<std::string, std::vector<std::shared_ptr<SweepStream>>> waiting;
  for (std::shared_ptr<SweepStream>& stream : open_.All()) {
    stream->CheckCaller();
    if (stream->Waits()) {
      waiting[stream->sweep_id()].push_back(std::move(stream));
    }
  }
  for (const auto& [id, streams] : waiting) {
    absl::StatusOr<v1::Sweep> sweep = ReadSweep(id, deps_);
    const absl::StatusOr<SweepLook> look =
        sweep.ok() ? absl::StatusOr<SweepLook>(SweepLook(*std::move(sweep))) : sweep.status();
    for (const std::shared_ptr<SweepStream>& stream : streams) {
      stream->Offer(look, SteadyNow());
    }
  }
}

void SweepStreams::Loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    woken_ = false;
    lock.unlock();
    LookAtAll();
    const bool any = open_.size() > 0;
    lock.lock();
    const auto due = [this] { return woken_ || stopping_; };
    if (any) {
      wake_.wait_for(lock, kEvery, due);
    } else {
      wake_.wait(lock, due);
    }
  }
}

}  // namespace hone::server::rpc
