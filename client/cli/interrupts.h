#pragma once

#include <pthread.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

namespace hone::client::cli {

// Takes SIGINT (Ctrl-C), SIGTERM and SIGHUP for as long as it lives: they no longer end the process
// but call `on_interrupt` with their count, from a thread of its own. Make it before any other
// thread.
class Interrupts {
 public:
  explicit Interrupts(std::function<void(int count)> on_interrupt = nullptr);
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  int count() const { return count_; }

 private:
  void Wait(const std::function<void(int)>& on_interrupt);

  sigset_t signals_;
  sigset_t before_;
  std::atomic<int> count_ = 0;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

}  // namespace hone::client::cli
