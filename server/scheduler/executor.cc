#include "server/scheduler/executor.h"

#include <utility>

#include "server/store/audited_call.h"

namespace hone::server::scheduler {

Executor::Executor(int threads, size_t max_queued) : max_queued_(max_queued) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Loop(); });
  }
}

Executor::~Executor() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

bool Executor::Submit(std::function<void()> task) {
  if (auto call = store::WorkingFor::Now(); call != nullptr) {
    task = [call = std::move(call), task = std::move(task)] {
      const store::WorkingFor working(call);
      task();
    };
  }
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= max_queued_ || stopping_) {
      ++refused_;
      return false;
    }
    queue_.push_back(std::move(task));
  }
  changed_.notify_one();
  return true;
}

size_t Executor::queued() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void Executor::Loop() {
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) {
        return;
      }
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

}  // namespace hone::server::scheduler
