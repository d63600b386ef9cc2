#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cli/interrupts.h"
#include "client/client.h"
#include "client/errors.h"
#include "engine/base/steady_clock.h"

namespace hone::client::cli {

// Watches something of the server's to its end, with one stream after another while the server is
// away (at most five minutes), or until an interrupt. `Response` has a goodbye.
template <typename Response>
class Watching {
 public:
  struct Hooks {
    std::function<std::unique_ptr<ServerStream<Response>>()> open;
    std::function<void(const Response&)> handle;
    // What a person is to know of the line.
    std::function<void(const std::string&)> say;
  };
  struct Outcome {
    bool interrupted = false;
    absl::Status status;  // OK: what was watched has ended
  };

  Watching(Client& client, Interrupts& interrupts, Hooks hooks)
      : client_(client), hooks_(std::move(hooks)), interrupts_(interrupts, [this] { Cancel(); }) {}

  Outcome Run() {
    absl::Duration alive = SteadyNow();
    absl::Duration pause = kFirstPause;
    bool heard = false;
    while (true) {
      const std::unique_ptr<ServerStream<Response>> stream = hooks_.open();
      SetCurrent(stream.get());
      bool going_away = false;
      Response response;
      while (stream->Next(response)) {
        alive = SteadyNow();
        pause = kFirstPause;
        heard = true;
        going_away = going_away || response.has_goodbye();
        hooks_.handle(response);
      }
      SetCurrent(nullptr);
      const absl::Status end = stream->Finish();
      if (interrupts_.count() > 0) {
        return {.interrupted = true, .status = end};
      }
      if (end.ok() && !going_away) {
        return {.status = end};
      }
      const std::optional<absl::Duration> asked_for = RetryDelay(end);
      const bool retry = asked_for || ((going_away || IsBrokenLine(end)) && heard);
      if (!retry || SteadyNow() - alive > kPatience) {
        return {.status =
                    end.ok() ? LineError(absl::StatusCode::kUnavailable, "it has shut down") : end};
      }
      if (pause == kFirstPause) {
        hooks_.say(asked_for ? std::string(end.message())
                             : "the server cannot be reached; trying again");
      }
      Pause(std::max(pause, asked_for.value_or(absl::ZeroDuration())));
      pause = std::min(pause * 2, kLongestPause);
    }
  }

 private:
  static constexpr absl::Duration kPatience = absl::Minutes(5);
  static constexpr absl::Duration kFirstPause = absl::Milliseconds(200);
  static constexpr absl::Duration kLongestPause = absl::Seconds(2);

  // nullptr: none. A stream that comes after an interrupt is cancelled at once.
  void SetCurrent(ServerStream<Response>* stream) {
    const std::lock_guard lock(mutex_);
    current_ = stream;
    if (cancelled_ && current_ != nullptr) {
      current_->Cancel();
    }
  }
  void Cancel() {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (current_ != nullptr) {
      current_->Cancel();
    }
  }
  void Pause(absl::Duration pause) {
    const absl::Duration until = SteadyNow() + pause;
    while (SteadyNow() < until && interrupts_.count() == 0) {
      client_.Wait(absl::Milliseconds(20));
    }
  }

  Client& client_;
  const Hooks hooks_;
  std::mutex mutex_;
  ServerStream<Response>* current_ = nullptr;  // that an interrupt has to cancel
  bool cancelled_ = false;
  const Interrupts::Handler interrupts_;
};

}  // namespace hone::client::cli
