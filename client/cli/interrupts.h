#pragma once

#include <atomic>
#include <csignal>
#include <functional>
#include <mutex>
#include <thread>

namespace hone::client::cli {

// Takes SIGINT (Ctrl-C), SIGTERM and SIGHUP from all threads of the process to one of its own. Make
// the one object before any other thread starts. While nobody holds a Handler, an interrupt ends
// the process with the exit code for cancelled.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  // While it lives, interrupts are counted and `on_interrupt` (may be empty) is called from the
  // other thread. One at a time; `interrupts` must outlive it.
  class Handler {
   public:
    explicit Handler(Interrupts& interrupts, std::function<void()> on_interrupt = nullptr);
    ~Handler();
    Handler(const Handler&) = delete;
    Handler& operator=(const Handler&) = delete;
    int count() const { return count_; }

   private:
    friend class Interrupts;
    Interrupts& interrupts_;
    const std::function<void()> on_interrupt_;
    std::atomic<int> count_ = 0;
  };

 private:
  void Wait();

  sigset_t signals_;
  sigset_t before_;
  std::mutex mutex_;
  Handler* handler_ = nullptr;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

}  // namespace hone::client::cli
