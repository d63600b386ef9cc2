#include "client/cli/interrupts.h"

#include <pthread.h>
#include <unistd.h>

#include "client/cli/command.h"

namespace hone::client::cli {

Interrupts::Handler::Handler(Interrupts& interrupts, std::function<void()> on_interrupt)
    : interrupts_(interrupts), on_interrupt_(std::move(on_interrupt)) {
  const std::lock_guard lock(interrupts_.mutex_);
  interrupts_.handler_ = this;
}

Interrupts::Handler::~Handler() {
  const std::lock_guard lock(interrupts_.mutex_);
  interrupts_.handler_ = nullptr;
}

Interrupts::Interrupts() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  thread_ = std::thread([this] { Wait(); });
}

Interrupts::~Interrupts() {
  ending_ = true;
  pthread_kill(thread_.native_handle(), SIGINT);
  thread_.join();
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void Interrupts::Wait() {
  int signal = 0;
  while (sigwait(&signals_, &signal) == 0 && !ending_) {
    const std::lock_guard lock(mutex_);
    if (handler_ == nullptr) {
      _exit(kCancelled);
    }
    ++handler_->count_;
    if (handler_->on_interrupt_) {
      handler_->on_interrupt_();
    }
  }
}

}  // namespace hone::client::cli
