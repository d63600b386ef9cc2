#include "server/rpc/watch_streams.h"

#include <chrono>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "engine/base/steady_clock.h"
#include "server/rpc/observed_stream.h"
#include "server/rpc/watch_job.h"

namespace hone::server::rpc {
namespace {

// What one watcher reads of the log at a time: so many events, and bytes beside the first.
constexpr int kFromLog = 256;
constexpr int64_t kBytesFromLog = int64_t{64} << 10;

}  // namespace

// One watcher of a job; waits for the bus, the log or its client.
class WatchStream final : public Watcher<v1::WatchJobResponse> {
 public:
  WatchStream(JobWatch watch, const ObservedStream& observed, access::Caller caller, Deps& deps,
              WatchStreams& streams)
      : Watcher(observed, std::move(caller), deps.gate),
        deps_(deps),
        streams_(streams),
        watch_(std::move(watch)) {}

  // Joins the bus before the first look at the log, so that nothing falls between them.
  void Begin() {
    Hold();
    const auto keep = std::static_pointer_cast<WatchStream>(shared_from_this());
    subscription_ = deps_.bus.Subscribe(watch_.job_id(), [weak = std::weak_ptr<WatchStream>(keep)] {
      if (const auto stream = weak.lock()) {
        stream->OnPublished();
      }
    });
    const std::lock_guard lock(mutex_);
    Pump();
  }

  void OnPublished() {
    const std::lock_guard lock(mutex_);
    watch_.Notified();
    Pump();
  }

  void Tick(absl::Duration now) {
    std::unique_lock lock(mutex_);
    if (!HeartbeatIsDue(now)) {
      return;
    }
    // Without the lock, which the store's writer waits for when it has published.
    lock.unlock();
    const absl::Status there = deps_.store.Get(watch_.job_id()).status();
    lock.lock();
    if (!HeartbeatIsDue(now)) {
      return;
    }
    if (absl::IsNotFound(there)) {
      return End(there);  // a paused job was deleted
    }
    Heartbeat();
  }

 private:
  void Left() override {
    deps_.bus.Unsubscribe(watch_.job_id(), subscription_);
    streams_.open_.Remove(this);
  }

  void Complete(v1::WatchJobResponse& response) const override {
    response.set_resume_token(watch_.ResumeToken());
  }

  void Next() override {
    switch (watch_.Take(response_)) {
      case JobWatch::Next::kAnswer:
        CountGap();
        return Send();
      case JobWatch::Next::kEnd:
        return End(absl::OkStatus());
      case JobWatch::Next::kReadLog:
        return ReadLog();
      case JobWatch::Next::kWait:
        return;
    }
  }

  void CountGap() {
    if (response_.has_gap()) {
      const auto& gap = response_.gap();
      deps_.registry.Add(metrics::Metric::kWatchEventsDropped, {},
                         static_cast<double>(gap.to_sequence() - gap.from_sequence() + 1));
    }
  }

  void ReadLog() {
    working_ = deps_.reads.Submit([this, keep = shared_from_this(), position = watch_.position()] {
      auto events = deps_.store.ReadEvents(watch_.job_id(), position, kFromLog, kBytesFromLog);
      const std::lock_guard lock(mutex_);
      working_ = false;
      if (!events.ok()) {
        return End(events.status());
      }
      watch_.AddFromLog(*std::move(events));
      Pump();
    });
    if (!working_) {
      End(absl::ResourceExhaustedError("too many watchers are reading the log; try again"));
    }
  }

  Deps& deps_;
  WatchStreams& streams_;
  int64_t subscription_ = 0;
  JobWatch watch_;  // guarded by mutex_
};

WatchStreams::WatchStreams() : ticker_([this] { Loop(); }) {}

WatchStreams::~WatchStreams() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  ticker_.join();
}

grpc::ServerWriteReactor<v1::WatchJobResponse>* WatchStreams::Open(
    const v1::WatchJobRequest& request, access::Caller caller, Deps& deps) {
  using Refused = RefusedWatch<v1::WatchJobResponse>;
  const ObservedStream observed({.method = "WatchJob",
                                 .caller = caller.name,
                                 .project = caller.project,
                                 .traceparent = caller.traceparent,
                                 .resource = request.name()},
                                deps);
  absl::StatusOr<JobWatch> watch = JobWatch::Open(request, deps.store, deps.bus, deps.watch_budget);
  if (!watch.ok()) {
    return new Refused(observed, watch.status());
  }
  const auto stream =
      std::make_shared<WatchStream>(*std::move(watch), observed, std::move(caller), deps, *this);
  if (const absl::Status added = open_.Add(stream); !added.ok()) {
    return new Refused(observed, added);
  }
  stream->Begin();
  return stream.get();
}

void WatchStreams::Goodbye() { open_.Goodbye(); }

size_t WatchStreams::size() const { return open_.size(); }

void WatchStreams::Loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    changed_.wait_for(lock, std::chrono::seconds(1));
    if (stopping_) {
      return;
    }
    lock.unlock();
    const absl::Duration now = SteadyNow();
    for (const auto& stream : open_.All()) {
      stream->CheckCaller();
      stream->Tick(now);
    }
    lock.lock();
  }
}

}  // namespace hone::server::rpc
