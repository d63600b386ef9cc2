#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "engine/tasks/run.h"

namespace hone::engine::train {

using Clock = std::chrono::steady_clock;

inline double SecondsBetween(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Sums over the steps since the curves got their last point, and decides when they get the next:
// about four times a second. Allocates nothing after its construction.
class IntervalMeter {
 public:
  static constexpr double kLeastSeconds = 0.3;

  IntervalMeter(Clock::time_point now, size_t updates) : sums_(updates), last_(now) {}

  void AddUpdate(size_t update, const tasks::Sums& sums) { sums_[update].Add(sums); }
  // After the updates of a step.
  void AddStep(int64_t examples, double seconds) {
    examples_ += examples;
    seconds_ += seconds;
    ++steps_;
  }
  // An epoch's end is told at once, but for those that come too often.
  bool due(Clock::time_point now, bool ends_epoch) const {
    return steps_ > 0 && (SecondsBetween(last_, now) >= kLeastSeconds ||
                          (ends_epoch && SecondsBetween(last_epoch_, now) >= 2 * kLeastSeconds));
  }
  void Restart(Clock::time_point now, bool ends_epoch) {
    std::fill(sums_.begin(), sums_.end(), tasks::Sums{});
    examples_ = steps_ = 0;
    seconds_ = 0;
    last_ = now;
    last_epoch_ = ends_epoch ? now : last_epoch_;
  }

  const tasks::Sums& sums(size_t update) const { return sums_[update]; }
  int64_t steps() const { return steps_; }
  double seconds() const { return seconds_; }
  double samples_per_second() const {
    return seconds_ > 0 ? static_cast<double>(examples_) / seconds_ : 0;
  }

 private:
  std::vector<tasks::Sums> sums_;  // by update
  int64_t examples_ = 0;
  int64_t steps_ = 0;
  double seconds_ = 0;  // in steps alone
  Clock::time_point last_;
  Clock::time_point last_epoch_ = {};
};

}  // namespace hone::engine::train
