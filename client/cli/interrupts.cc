#include "client/cli/interrupts.h"

namespace hone::client::cli {

Interrupts::Interrupts(std::function<void(int)> on_interrupt) {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  thread_ = std::thread([this, on_interrupt = std::move(on_interrupt)] { Wait(on_interrupt); });
}

Interrupts::~Interrupts() {
  ending_ = true;
  pthread_kill(thread_.native_handle(), SIGINT);
  thread_.join();
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void Interrupts::Wait(const std::function<void(int)>& on_interrupt) {
  int signal = 0;
  while (sigwait(&signals_, &signal) == 0 && !ending_) {
    const int count = ++count_;
    if (on_interrupt) {
      on_interrupt(count);
    }
  }
}

}  // namespace hone::client::cli
