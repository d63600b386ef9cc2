#pragma once

#include <grpcpp/support/server_callback.h>

#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/base/steady_clock.h"
#include "server/access/gate.h"
#include "server/rpc/observed_stream.h"

namespace hone::server::rpc {

// The life of one watcher: it is counted, timed and logged, says goodbye when the server goes, and
// deletes itself when gRPC is done with it. One write is in flight at most; in between it waits for
// something to tell or for its client. `Response` has a heartbeat and a goodbye. Made by
// std::make_shared, held by Hold.
template <typename Response>
class Watcher : public grpc::ServerWriteReactor<Response>,
                public std::enable_shared_from_this<Watcher<Response>> {
 public:
  // Tells the client that the server goes, and ends.
  void Goodbye() {
    const std::lock_guard lock(mutex_);
    goodbye_ = Farewell::kWanted;
    Pump();
  }

  void OnWriteDone(bool ok) final {
    const auto keep = this->shared_from_this();
    const std::lock_guard lock(mutex_);
    writing_ = false;
    cancelled_ = cancelled_ || !ok;
    Taken();
    Pump();
  }

  void OnCancel() final {
    const auto keep = this->shared_from_this();
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    Pump();
  }

  // Once a second: ends where the caller's token counts no more. Not at once: it may be among the
  // open ones and not have begun.
  void CheckCaller() {
    if (SteadyNow() - made_ < absl::Seconds(1)) {
      return;
    }
    const absl::Status admitted = gate_.StillAdmitted(caller_);
    if (admitted.ok()) {
      return;
    }
    const auto keep = this->shared_from_this();
    const std::lock_guard lock(mutex_);
    refused_ = admitted;
    Pump();
  }

  void OnDone() final {
    Left();
    // Others may hold it for a moment longer.
    const std::shared_ptr<Watcher> last = std::move(self_);
  }

 protected:
  Watcher(ObservedStream observed, access::Caller caller, const access::Gate& gate)
      : gate_(gate),
        caller_(std::move(caller)),
        made_(SteadyNow()),
        observed_(std::move(observed)),
        last_write_(made_) {}

  // From here on it lives until gRPC is done with it. Comes first.
  void Hold() { self_ = this->shared_from_this(); }
  // gRPC is done with it; without mutex_.
  virtual void Left() = 0;

  // All below with mutex_ held.

  // Nothing is under way: sends an answer, ends, has the next answer made, or waits.
  virtual void Next() = 0;
  // Adds what every answer has.
  virtual void Complete(Response&) const {}
  // The client has taken the answer, or will take no more.
  virtual void Taken() {}

  bool idle() const { return !writing_ && !working_ && !finished_; }
  // Nothing was sent for so long that the client is to hear that the line is alive.
  bool HeartbeatIsDue(absl::Duration now) const {
    return idle() && now - last_write_ >= kHeartbeatEvery;
  }
  void Heartbeat() {
    response_.Clear();
    response_.mutable_heartbeat();
    Send();
  }
  // `response_`, which stays as it is until the client has taken it.
  void Send() {
    Complete(response_);
    writing_ = true;
    last_write_ = SteadyNow();
    this->StartWrite(&response_);
  }
  void End(const absl::Status& status) {
    finished_ = true;
    this->Finish(observed_.End(status));
  }
  // Does the next thing, if nothing is under way.
  void Pump() {
    if (!idle()) {
      return;
    }
    if (cancelled_) {
      return End(absl::CancelledError("the watcher has left"));
    }
    if (!refused_.ok()) {
      return End(refused_);
    }
    if (goodbye_ == Farewell::kSent) {
      return End(
          absl::UnavailableError("the server is shutting down; watch again when it is back"));
    }
    if (goodbye_ == Farewell::kWanted) {
      goodbye_ = Farewell::kSent;
      response_.Clear();
      response_.mutable_goodbye();
      return Send();
    }
    Next();
  }

  std::mutex mutex_;  // guards all below
  Response response_;
  bool working_ = false;  // another thread makes the next answer

 private:
  enum class Farewell { kNone, kWanted, kSent };
  static constexpr absl::Duration kHeartbeatEvery = absl::Seconds(15);

  const access::Gate& gate_;
  const access::Caller caller_;
  const absl::Duration made_;  // SteadyNow()
  ObservedStream observed_;
  absl::Duration last_write_;  // SteadyNow()
  bool writing_ = false;
  bool cancelled_ = false;
  bool finished_ = false;
  absl::Status refused_;  // the caller
  Farewell goodbye_ = Farewell::kNone;
  std::shared_ptr<Watcher> self_;  // until OnDone; not guarded
};

// A watch that ends at once.
template <typename Response>
class RefusedWatch final : public grpc::ServerWriteReactor<Response> {
 public:
  RefusedWatch(ObservedStream observed, const absl::Status& status) {
    this->Finish(observed.End(status));
  }
  void OnDone() override { delete this; }
};

// The watchers of one kind that are open. Any thread.
template <typename Stream>
class OpenWatches {
 public:
  explicit OpenWatches(size_t most) : most_(most) {}

  // UNAVAILABLE: the server goes. RESOURCE_EXHAUSTED: too many watch.
  absl::Status Add(const std::shared_ptr<Stream>& stream) {
    const std::lock_guard lock(mutex_);
    if (goodbye_) {
      return absl::UnavailableError("the server is shutting down");
    }
    if (streams_.size() >= most_) {
      return absl::ResourceExhaustedError("too many watch at a time; try again");
    }
    streams_[stream.get()] = stream;
    return absl::OkStatus();
  }
  void Remove(Stream* stream) {
    const std::lock_guard lock(mutex_);
    streams_.erase(stream);
  }
  std::vector<std::shared_ptr<Stream>> All() const {
    std::vector<std::shared_ptr<Stream>> all;
    const std::lock_guard lock(mutex_);
    for (const auto& [key, weak] : streams_) {
      if (auto stream = weak.lock()) {
        all.push_back(std::move(stream));
      }
    }
    return all;
  }
  // To all that there are; no others are added.
  void Goodbye() {
    {
      const std::lock_guard lock(mutex_);
      goodbye_ = true;
    }
    for (const auto& stream : All()) {
      stream->Goodbye();
    }
  }
  size_t size() const {
    const std::lock_guard lock(mutex_);
    return streams_.size();
  }

 private:
  const size_t most_;
  mutable std::mutex mutex_;
  std::map<Stream*, std::weak_ptr<Stream>> streams_;  // guarded by mutex_
  bool goodbye_ = false;                              // guarded by mutex_
};

}  // namespace hone::server::rpc
