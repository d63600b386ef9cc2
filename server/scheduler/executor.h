#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace hone::server::scheduler {

// A few threads for what may take a while and must not hold up a handler. They work for the same
// call (store::WorkingFor) as who submits. Any thread may submit.
class Executor {
 public:
  Executor(int threads, size_t max_queued);
  // Runs what was submitted, then ends.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // False, and `task` is not run, when max_queued tasks wait.
  bool Submit(std::function<void()> task);

  size_t queued() const;
  // Tasks that Submit refused so far.
  int64_t refused() const { return refused_; }

 private:
  void Loop();

  const size_t max_queued_;
  std::atomic<int64_t> refused_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;  // guarded by mutex_
  bool stopping_ = false;                    // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace hone::server::scheduler
