#include "server/rpc/watch_streams.h"

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/steady_clock.h"
#include "server/rpc/observed_stream.h"
#include "server/rpc/watch_job.h"

namespace hone::server::rpc {
namespace {

constexpr absl::Duration kHeartbeatEvery = absl::Seconds(15);
// What one watcher reads of the log at a time: so many events, and bytes beside the first.
constexpr int kFromLog = 256;
constexpr int64_t kBytesFromLog = int64_t{64} << 10;

class Refused final : public grpc::ServerWriteReactor<v1::WatchJobResponse> {
 public:
  Refused(ObservedStream observed, const absl::Status& status) { Finish(observed.End(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

// One watcher. One write is in flight at most; it waits in between for the bus, the log or its
// client.
class WatchStream final : public grpc::ServerWriteReactor<v1::WatchJobResponse>,
                          public std::enable_shared_from_this<WatchStream> {
 public:
  WatchStream(JobWatch watch, const ObservedStream& observed, Deps& deps, WatchStreams& streams)
      : deps_(deps),
        streams_(streams),
        watch_(std::move(watch)),
        observed_(observed),
        last_write_(SteadyNow()) {}

  // Joins the bus before the first look at the log, so that nothing falls between them.
  void Begin() {
    self_ = shared_from_this();
    std::weak_ptr<WatchStream> weak = self_;
    subscription_ = deps_.bus.Subscribe(watch_.job_id(), [weak] {
      if (const auto stream = weak.lock()) {
        stream->OnPublished();
      }
    });
    const auto keep = shared_from_this();
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
    const auto due = [&] { return idle() && now - last_write_ >= kHeartbeatEvery; };
    if (!due()) {
      return;
    }
    // Without the lock, which the store's writer waits for when it has published.
    lock.unlock();
    const absl::Status there = deps_.store.Get(watch_.job_id()).status();
    lock.lock();
    if (!due()) {
      return;
    }
    if (absl::IsNotFound(there)) {
      return End(there);  // a paused job was deleted
    }
    Heartbeat();
  }

  void Goodbye() {
    const std::lock_guard lock(mutex_);
    goodbye_ = Farewell::kWanted;
    Pump();
  }

  void OnWriteDone(bool ok) override {
    const auto keep = shared_from_this();
    const std::lock_guard lock(mutex_);
    writing_ = false;
    cancelled_ = cancelled_ || !ok;
    Pump();
  }

  void OnCancel() override {
    const auto keep = shared_from_this();
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    Pump();
  }

  void OnDone() override {
    deps_.bus.Unsubscribe(watch_.job_id(), subscription_);
    streams_.Remove(this);
    // Others may hold it for a moment longer.
    const std::shared_ptr<WatchStream> last = std::move(self_);
  }

 private:
  enum class Farewell { kNone, kWanted, kSent };

  bool idle() const { return !writing_ && !reading_ && !finished_; }

  void End(const absl::Status& status) {
    finished_ = true;
    Finish(observed_.End(status));
  }

  void Heartbeat() {
    response_.Clear();
    response_.mutable_heartbeat();
    Send();
  }

  void Send() {
    response_.set_resume_token(watch_.ResumeToken());
    writing_ = true;
    last_write_ = SteadyNow();
    StartWrite(&response_);
  }

  // Does the next thing, if nothing is under way. With mutex_ held.
  void Pump() {
    if (!idle()) {
      return;
    }
    if (cancelled_) {
      return End(absl::CancelledError("the watcher has left"));
    }
    if (goodbye_ == Farewell::kSent) {
      return End(
          absl::UnavailableError("the server is shutting down; come back with the resume token"));
    }
    if (goodbye_ == Farewell::kWanted) {
      goodbye_ = Farewell::kSent;
      response_.Clear();
      response_.mutable_goodbye();
      return Send();
    }
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
    reading_ = deps_.reads.Submit([stream = shared_from_this(), position = watch_.position()] {
      auto events = stream->deps_.store.ReadEvents(stream->watch_.job_id(), position, kFromLog,
                                                   kBytesFromLog);
      const std::lock_guard lock(stream->mutex_);
      stream->reading_ = false;
      if (!events.ok()) {
        return stream->End(events.status());
      }
      stream->watch_.AddFromLog(*std::move(events));
      stream->Pump();
    });
    if (!reading_) {
      End(absl::ResourceExhaustedError("too many watchers are reading the log; try again"));
    }
  }

  Deps& deps_;
  WatchStreams& streams_;
  std::shared_ptr<WatchStream> self_;  // until OnDone
  int64_t subscription_ = 0;
  std::mutex mutex_;  // guards all below
  JobWatch watch_;
  v1::WatchJobResponse response_;
  ObservedStream observed_;
  absl::Duration last_write_;
  bool writing_ = false;
  bool reading_ = false;
  bool cancelled_ = false;
  bool finished_ = false;
  Farewell goodbye_ = Farewell::kNone;
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
    const v1::WatchJobRequest& request, Deps& deps) {
  const ObservedStream observed({.method = "WatchJob", .resource = request.name()}, deps);
  absl::StatusOr<JobWatch> watch = JobWatch::Open(request, deps.store, deps.bus, deps.watch_budget);
  if (!watch.ok()) {
    return new Refused(observed, watch.status());
  }
  const auto stream = std::make_shared<WatchStream>(*std::move(watch), observed, deps, *this);
  {
    const std::lock_guard lock(mutex_);
    if (goodbye_) {
      return new Refused(observed, absl::UnavailableError("the server is shutting down"));
    }
    if (streams_.size() >= kMaxStreams) {
      return new Refused(
          observed, absl::ResourceExhaustedError("too many jobs are being watched; try again"));
    }
    streams_[stream.get()] = stream;
  }
  stream->Begin();
  return stream.get();
}

void WatchStreams::Remove(WatchStream* stream) {
  const std::lock_guard lock(mutex_);
  streams_.erase(stream);
}

std::vector<std::shared_ptr<WatchStream>> WatchStreams::All() const {
  std::vector<std::shared_ptr<WatchStream>> all;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, weak] : streams_) {
    if (auto stream = weak.lock()) {
      all.push_back(std::move(stream));
    }
  }
  return all;
}

void WatchStreams::Goodbye() {
  {
    const std::lock_guard lock(mutex_);
    goodbye_ = true;
  }
  for (const auto& stream : All()) {
    stream->Goodbye();
  }
}

size_t WatchStreams::size() const {
  const std::lock_guard lock(mutex_);
  return streams_.size();
}

void WatchStreams::Loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    changed_.wait_for(lock, std::chrono::seconds(1));
    if (stopping_) {
      return;
    }
    lock.unlock();
    const absl::Duration now = SteadyNow();
    for (const auto& stream : All()) {
      stream->Tick(now);
    }
    lock.lock();
  }
}

}  // namespace hone::server::rpc
