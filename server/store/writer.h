#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "server/store/audited_call.h"
#include "server/store/job_store.h"

namespace hone::server::store {

// The one thread that writes to the store. What waits is committed together (one sync for all of
// it); then the events go to `listener`, in the log's order, and each write is told its result.
// What is written for a client's call (WorkingFor) comes with the call's entry in the audit log.
// `store` and whatever the listener touches outlive this. Any thread may submit.
class Writer {
 public:
  using Listener = std::function<void(const LoggedEvent&)>;

  // What the writer's own work was like; called on its thread, and `refused` on that of Submit.
  struct Observer {
    std::function<void(absl::Duration)> committed = [](absl::Duration) {};  // how long it took
    // A write is lost through the store's fault, not because it was wrong.
    std::function<void()> failed = [] {};
    std::function<void()> refused = [] {};  // too many wait
  };

  Writer(JobStore& store, Listener listener, Observer observer);
  Writer(JobStore& store, Listener listener) : Writer(store, std::move(listener), Observer()) {}
  // Finishes what was submitted.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // `work` runs on the writer's thread; `done` too, once its effect is durable or has failed.
  // RESOURCE_EXHAUSTED, at once and on the caller's thread, when kMaxQueued writes wait. Neither
  // may block.
  template <typename T>
  void Submit(std::function<absl::StatusOr<T>(JobStore&)> work,
              std::function<void(absl::StatusOr<T>)> done) {
    auto result = std::make_shared<absl::StatusOr<T>>(absl::UnknownError("not run"));
    auto call = WorkingFor::Now();
    auto finish = [this, result, done, call](const absl::Status& committed) {
      if (call != nullptr && !committed.ok()) {
        call->written = false;
      }
      const WorkingFor working(call);
      if (!committed.ok() || IsStoresFault(result->status())) {
        observer_.failed();
      }
      // What a write said in a batch that was lost may have come from that.
      done(committed.ok() ? std::move(*result) : committed);
    };
    auto run = [result, call, work = std::move(work)](JobStore& store) {
      *result = work(store);
      if (call != nullptr && result->ok() && !call->written.exchange(true)) {
        call->written = call->Write(store.audit(), ResourceOf(**result), absl::Now()).ok();
      }
    };
    if (!Post({std::move(run), finish})) {
      observer_.refused();
      done(absl::ResourceExhaustedError("the store has too many writes queued; try again"));
    }
  }

  // As Submit, and waits. Not from the writer's thread.
  template <typename T>
  absl::StatusOr<T> Run(std::function<absl::StatusOr<T>(JobStore&)> work) {
    std::promise<absl::StatusOr<T>> promise;
    Submit<T>(std::move(work),
              [&promise](absl::StatusOr<T> result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }

  // For writes without a value.
  absl::Status RunStatus(std::function<absl::Status(JobStore&)> work);

  // Writes that wait.
  size_t queued() const;

  static constexpr size_t kMaxQueued = 4096;

 private:
  struct Write {
    std::function<void(JobStore&)> work;
    std::function<void(const absl::Status&)> done;
  };

  bool Post(Write write);
  void Loop();

  // What a database says of itself. A disk that is full shows when the writes are committed:
  // RESOURCE_EXHAUSTED before that is a quota.
  static bool IsStoresFault(const absl::Status& status) {
    return absl::IsUnavailable(status) || absl::IsDataLoss(status) || absl::IsInternal(status);
  }

  JobStore& store_;
  const Listener listener_;
  const Observer observer_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Write> queue_;  // guarded by mutex_
  bool stopping_ = false;    // guarded by mutex_
  std::thread thread_;
};

}  // namespace hone::server::store
