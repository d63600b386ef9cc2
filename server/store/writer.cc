#include "server/store/writer.h"

#include "engine/base/steady_clock.h"

namespace hone::server::store {

Writer::Writer(JobStore& store, Listener listener, Observer observer)
    : store_(store),
      listener_(std::move(listener)),
      observer_(std::move(observer)),
      thread_([this] { Loop(); }) {}

Writer::~Writer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

absl::Status Writer::RunStatus(std::function<absl::Status(JobStore&)> work) {
  const absl::StatusOr<bool> result = Run<bool>([&](JobStore& store) -> absl::StatusOr<bool> {
    const absl::Status status = work(store);
    if (!status.ok()) {
      return status;
    }
    return true;
  });
  return result.status();
}

size_t Writer::queued() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

bool Writer::Post(Write write) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= kMaxQueued || stopping_) {
      return false;
    }
    queue_.push_back(std::move(write));
  }
  changed_.notify_one();
  return true;
}

void Writer::Loop() {
  for (;;) {
    std::deque<Write> batch;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) {
        return;
      }
      batch.swap(queue_);
    }
    const absl::Duration begin = SteadyNow();
    const absl::StatusOr<std::vector<LoggedEvent>> committed = store_.Commit([&] {
      for (const Write& write : batch) {
        write.work(store_);
      }
    });
    observer_.committed(SteadyNow() - begin);
    if (committed.ok()) {
      for (const LoggedEvent& event : *committed) {
        listener_(event);
      }
    }
    for (const Write& write : batch) {
      write.done(committed.status());
    }
  }
}

}  // namespace hone::server::store
